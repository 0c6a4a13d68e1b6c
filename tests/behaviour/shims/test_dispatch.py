from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from auditor.behaviour.shims import dispatch  # noqa: E402
from auditor.behaviour.shims.context import ShimContext  # noqa: E402


@pytest.fixture
def calls() -> Iterator[list[str]]:
    """Names of the torch functions that a mode sees."""
    seen: list[str] = []

    class Watching(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(getattr(func, "__name__", ""))
            return func(*args, **(kwargs or {}))

    with Watching():
        yield seen


def triple() -> Any:
    class Triple(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(context: Any, x: Any) -> Any:
            return x * 3

        @staticmethod
        def backward(context: Any, grad: Any) -> Any:
            return torch.mul(torch.full_like(grad, 3.0), grad)

    return Triple


def test_without_the_shim_a_derivative_escapes_the_mode(calls: list[str]) -> None:
    triple().apply(torch.ones(2, requires_grad=True)).sum().backward()
    assert "full_like" not in calls


def test_a_derivative_written_in_python_stays_under_the_mode(ctx: ShimContext, calls: list[str]) -> None:
    dispatch.install(ctx)
    x = torch.ones(2, requires_grad=True)
    triple().apply(x).sum().backward()
    assert "full_like" in calls and x.grad.tolist() == [3.0, 3.0]
    y = x * 2
    y.backward(gradient=torch.ones(2), retain_graph=True, inputs=[x])
    assert x.grad.tolist() == [5.0, 5.0]


def test_a_recomputed_checkpoint_too(ctx: ShimContext, calls: list[str]) -> None:
    from torch.utils.checkpoint import checkpoint

    dispatch.install(ctx)
    x = torch.ones(2, requires_grad=True)
    out = checkpoint(lambda t: torch.tanh(t) * 2, x, use_reentrant=False)
    before = calls.count("tanh")
    out.sum().backward()
    assert calls.count("tanh") == before + 1


def made(ctx: ShimContext) -> Any:
    dispatch.install(ctx)
    library: Any = importlib.import_module("torch.library")

    def square(x: torch.Tensor, factor: float) -> torch.Tensor:
        return torch.square(x) * factor

    op = library.custom_op("golfaudit_shim::square", square, mutates_args=())
    op.register_fake(lambda x, factor: torch.empty_like(x))

    def setup(context: Any, inputs: Any, output: Any) -> None:
        context.save_for_backward(inputs[0])
        context.factor = inputs[1]

    def derivative(context: Any, grad: Any) -> Any:
        return torch.mul(grad, 2 * context.saved_tensors[0]) * context.factor, None

    library.register_autograd("golfaudit_shim::square", derivative, setup_context=setup)
    return op


def test_a_custom_operator_stays_under_the_mode_and_differentiates(ctx: ShimContext, calls: list[str]) -> None:
    op = made(ctx)
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    op(x, 3.0).sum().backward()
    assert x.grad.tolist() == [6.0, 12.0] and "square" in calls
    with torch.no_grad():
        assert torch.ops.golfaudit_shim.square(x, 1.0).tolist() == [1.0, 4.0]
    assert torch.ops.golfaudit_shim.square.default(x, 2.0).tolist() == [2.0, 8.0]


def test_a_kernel_for_cuda_is_the_one_that_runs(ctx: ShimContext) -> None:
    op = made(ctx)
    op.register_kernel("cpu")(lambda x, factor: x - 100)
    assert op(torch.ones(1), 1.0).tolist() == [1.0]
    op.register_kernel("cuda")(lambda x, factor: x + 100)
    assert op(torch.ones(1), 1.0).tolist() == [101.0]


def test_operators_leave_with_the_context(ctx: ShimContext) -> None:
    made(ctx)
    ctx.restore()
    assert not hasattr(torch.ops.golfaudit_shim, "square")
