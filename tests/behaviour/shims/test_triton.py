from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from auditor.behaviour.shims import triton as triton_shim  # noqa: E402
from auditor.behaviour.shims.context import ShimContext  # noqa: E402
from auditor.behaviour.shims.errors import GuestUnsupported  # noqa: E402


@pytest.fixture
def kernels(ctx: ShimContext) -> Iterator[Any]:
    triton_shim.install(ctx)
    torch.manual_seed(0)
    yield importlib.import_module("tests.behaviour.shims.kernels")
    sys.modules.pop("tests.behaviour.shims.kernels", None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_streaming_cross_entropy(kernels: Any, dtype: Any) -> None:
    logits, targets, losses = torch.randn(12, 100, dtype=dtype) * 9, torch.randint(0, 100, (12,)), torch.empty(12)
    kernels.losses_kernel[(12,)](logits, targets, losses, logits.stride(0), 100, 30.0, block=32, num_warps=4)
    capped = 30.0 * torch.sigmoid(logits.float() / 30.0)
    assert torch.allclose(losses, torch.nn.functional.cross_entropy(capped, targets, reduction="none"), atol=1e-5)


def test_instances_run_at_once_give_what_single_ones_give(kernels: Any) -> None:
    logits, targets = torch.randn(50, 100) * 9, torch.randint(0, 100, (50,))
    results = []
    for together in (True, False):
        assert triton_shim.may_run_together(kernels.losses_kernel.fn)
        kernels.losses_kernel._wide = together
        losses = torch.empty(50)
        kernels.losses_kernel[(50,)](logits, targets, losses, 100, 100, 30.0, block=32)
        results.append(losses)
    assert torch.allclose(results[0], results[1], atol=1e-5)
    changed = logits.clone()
    changed[20:] += torch.randn(30, 100)
    kernels.losses_kernel._wide, losses = True, torch.empty(50)
    kernels.losses_kernel[(50,)](changed, targets, losses, 100, 100, 30.0, block=32)
    assert torch.equal(losses[:20], results[0][:20]) and not torch.equal(losses[20:], results[0][20:])


def test_what_must_run_one_by_one(kernels: Any) -> None:
    for kernel in (kernels.product_kernel, kernels.block_kernel, kernels.odd_kernel):
        assert not triton_shim.may_run_together(kernel.fn)


def test_a_view_is_addressed_where_it_lies(kernels: Any) -> None:
    whole = torch.randn(6, 40)
    part, targets, losses = whole[2:5, 8:], torch.randint(0, 32, (3,)), torch.empty(3)
    kernels.losses_kernel[3,](part, targets, losses, part.stride(0), 32, 30.0, block=64)
    capped = 30.0 * torch.sigmoid(part / 30.0)
    assert torch.allclose(losses, torch.nn.functional.cross_entropy(capped, targets, reduction="none"), atol=1e-5)


def test_a_fused_product_through_descriptors(kernels: Any) -> None:
    described_by: Any = importlib.import_module("triton.tools.tensor_descriptor").TensorDescriptor
    a, b = torch.randn(40, 24, dtype=torch.bfloat16), torch.randn(32, 24, dtype=torch.bfloat16)
    c = torch.empty(40, 32, dtype=torch.bfloat16)
    blocks = [(a, [16, 16]), (b, [32, 16]), (c, [16, 16])]
    described = [described_by.from_tensor(tensor, block) for tensor, block in blocks]
    kernels.product_kernel[lambda meta: (min(4, meta["PROGRAMS"]),)](
        *described, 40, 32, 24, BM=16, BN=32, BK=16, PROGRAMS=4, num_stages=3, num_warps=8
    )
    expected = torch.nn.functional.leaky_relu(a.float() @ b.float().T, 0.5)
    assert torch.allclose(c.float(), expected, atol=0.1, rtol=0.01)


def test_tuned_arguments_and_values_that_keep_theirs(kernels: Any) -> None:
    triton: Any = importlib.import_module("triton")
    for n in (16, 13):
        x, y = torch.randn(n), torch.zeros(n)
        kernels.scale_kernel[lambda meta: (triton.cdiv(meta["n"], meta["BLOCK"]),)](x, y, n, 2.5)
        assert torch.allclose(y, x * 2.5)


def test_blocks_and_atomics(kernels: Any) -> None:
    x, out, count = torch.randn(5, 3), torch.zeros(5), torch.zeros(1, dtype=torch.int32)
    kernels.block_kernel[(3,)](x, out, count, 5, 3, BM=2, BN=4)
    assert torch.allclose(out, 2 * x.sum(1)) and count.item() == 5


def test_what_is_not_imitated_says_so_when_used(kernels: Any) -> None:
    with pytest.raises(GuestUnsupported, match="inline_asm"):
        kernels.odd_kernel[(1,)](torch.zeros(1))
    with pytest.raises(RuntimeError, match="outside"):
        kernels.clamp_up(torch.zeros(1))
    triton: Any = importlib.import_module("triton")
    with pytest.raises(GuestUnsupported, match="do_bench"):
        triton.testing.do_bench(lambda: None)


def test_addresses_outside_are_an_error(kernels: Any) -> None:
    with pytest.raises(IndexError):
        kernels.scale_kernel[(4,)](torch.zeros(16), torch.zeros(16), 32, 1.0)


def test_a_kernel_inside_an_autograd_function(kernels: Any) -> None:
    class Scale(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(context: Any, x: Any) -> Any:
            y = torch.empty_like(x)
            kernels.scale_kernel[(2,)](x, y, x.numel(), 3.0)
            return y

        @staticmethod
        def backward(context: Any, grad: Any) -> Any:
            out = torch.empty_like(grad)
            kernels.scale_kernel[(2,)](grad.contiguous(), out, grad.numel(), 3.0)
            return out

    x = torch.ones(16, requires_grad=True)
    Scale.apply(x).sum().backward()
    assert x.grad.tolist() == [3.0] * 16


def test_numbers_agree_with_torch(kernels: Any) -> None:
    tl: Any = importlib.import_module("triton.language")
    x = torch.rand(4, 6) + 0.1
    for name in ("exp", "log", "sqrt", "rsqrt", "sigmoid", "tanh", "erf", "floor"):
        assert torch.equal(getattr(tl, name)(x), getattr(torch, name)(x))
    assert torch.equal(tl.sum(x, axis=1), x.sum(1)) and torch.equal(tl.max(x, axis=0), x.max(0).values)
    assert torch.equal(tl.argmax(x, axis=1), x.argmax(1).int()) and torch.equal(tl.trans(x), x.T)
    assert tl.max(x).item() == x.max().item() and torch.equal(
        tl.cumsum(x, axis=0, reverse=True), x.flip(0).cumsum(0).flip(0)
    )
    low, high = tl.split(tl.join(x, x + 1))
    assert torch.equal(low, x) and torch.equal(high, x + 1)
    assert tl.extra.cuda.libdevice.popc(torch.tensor([0, 7, -1], dtype=torch.int32)).tolist() == [0, 3, 32]
    assert tl.cdiv(7, 2) == 4 and list(tl.static_range(3)) == [0, 1, 2] and tl.constexpr(5) == 5


def test_the_package_is_taken_away(ctx: ShimContext, kernels: Any) -> None:
    mine = sys.modules["triton"]
    ctx.restore()
    assert sys.modules.get("triton") is not mine
