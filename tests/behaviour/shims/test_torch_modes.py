"""autocast, inference mode and compile, against what torch does without the shims."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
F: Any = torch.nn.functional

from auditor.behaviour.shims import autocast, autocast_ops, inference  # noqa: E402
from auditor.behaviour.shims import compile as compile_shim  # noqa: E402
from auditor.behaviour.shims.context import ShimContext  # noqa: E402


@pytest.fixture(autouse=True)
def installed(ctx: ShimContext) -> None:
    for shim in (autocast, autocast_ops, inference, compile_shim):
        shim.install(ctx)


def product() -> Any:
    return torch.ones(2, 2) @ torch.ones(2, 2)


def test_every_form_of_autocast_computes_in_the_dtype() -> None:
    for guard in (
        torch.autocast("cuda", torch.bfloat16),
        torch.autocast(device_type="cuda", dtype=torch.bfloat16, enabled=True),
        torch.amp.autocast("cuda", dtype=torch.bfloat16),
        torch.cuda.amp.autocast(dtype=torch.bfloat16),
        torch.autocast("cpu", torch.bfloat16),
    ):
        with guard:
            assert product().dtype == torch.bfloat16
            assert torch.is_autocast_enabled() and torch.is_autocast_enabled("cuda")
            assert torch.get_autocast_dtype("cuda") == torch.get_autocast_gpu_dtype() == torch.bfloat16
    assert product().dtype == torch.float32 and not torch.is_autocast_enabled()
    assert torch.autocast("cuda", torch.bfloat16)(product)().dtype == torch.bfloat16
    with torch.autocast("cuda", torch.bfloat16), torch.autocast("cuda", enabled=False):
        assert product().dtype == torch.float32
    assert isinstance(torch.autocast("cuda", torch.bfloat16), torch.autocast)


def test_the_default_dtype_is_that_of_cuda() -> None:
    with torch.autocast("cuda"):
        assert product().dtype == torch.float16


def test_what_cuda_keeps_in_float32_stays_there() -> None:
    x = torch.randn(3, 50, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cuda", torch.bfloat16):
        results = [F.softmax(x, -1), F.log_softmax(x, -1), x.exp(), x.sum(), x**2, x.logsumexp(-1), x.log()]
        assert {r.dtype for r in results} == {torch.float32}
        assert torch.allclose(results[0].sum(-1), torch.ones(3), atol=1e-6)
        assert F.relu(x).dtype == torch.bfloat16
    results[1].sum().backward()
    assert x.grad.dtype == torch.bfloat16


def test_the_list_of_float32_operations_is_cuda_s() -> None:
    assert {"softmax.int", "log_softmax.int", "exp", "sum"} <= set(autocast_ops.missing_on_cpu()) or not (
        autocast_ops.missing_on_cpu()
    )


def test_restore_takes_the_operations_back(ctx: ShimContext) -> None:
    ctx.restore()
    with torch.autocast("cpu", torch.bfloat16):
        assert F.softmax(torch.zeros(3, dtype=torch.bfloat16), -1).dtype == torch.bfloat16


def test_inference_mode_is_no_grad_and_its_tensors_train_later() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    with torch.inference_mode():
        made = torch.ones(2) * weight
        assert torch.is_inference_mode_enabled() and not torch.is_grad_enabled() and not made.requires_grad
    assert not made.is_inference() and not torch.is_inference_mode_enabled()
    (made * weight).sum().backward()
    assert weight.grad is not None
    with torch.inference_mode(False):
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_inference_mode_decorates() -> None:
    def gradients() -> bool:
        return bool(torch.is_grad_enabled())

    with_brackets, without = torch.inference_mode()(gradients), torch.inference_mode(gradients)
    assert gradients() and not with_brackets() and not without() and torch.is_grad_enabled()


def test_compile_returns_what_it_was_given() -> None:
    model = torch.nn.Linear(2, 2)
    assert torch.compile(model, dynamic=False, fullgraph=True) is model
    assert torch.compile(mode="max-autotune")(product) is product

    assert torch.compile(product) is product and torch.compile(dynamic=True)(product) is product
    assert model.compile() is None
    assert torch.jit.script(product) is product


def test_controls_of_the_compiler_do_nothing() -> None:
    assert torch._dynamo.disable(product) is product and torch.compiler.disable(recursive=False)(product) is product
    torch._dynamo.reset()
    torch._dynamo.mark_dynamic(torch.ones(2), 0)
    torch.compiler.cudagraph_mark_step_begin()
    assert not torch.compiler.is_compiling()


def test_configs_take_any_setting() -> None:
    importlib.import_module("torch._inductor.config")
    torch._dynamo.config.a_setting_of_another_version = 64
    assert torch._dynamo.config.a_setting_of_another_version == 64
    torch._inductor.config.another_one = True
    torch._dynamo.config.cache_size_limit = 32
    assert torch._dynamo.config.cache_size_limit == 32


def test_a_custom_op_runs_as_written() -> None:
    def double(x: Any) -> Any:
        return x * 2

    double.__annotations__ = {"x": torch.Tensor, "return": torch.Tensor}
    double = torch.library.custom_op("golfaudit_test::double", double, mutates_args=())
    assert double(torch.ones(2)).tolist() == [2.0, 2.0]
