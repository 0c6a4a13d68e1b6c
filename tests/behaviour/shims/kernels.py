# mypy: ignore-errors
"""Triton kernels for `test_triton`, in the shapes that scripts have: streaming cross-entropy and a fused product."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl


@triton.jit
def clamp_up(x: Any) -> Any:
    """A helper that a kernel calls."""
    return tl.where(x > 0, x, 0.5 * x)


@triton.jit
def losses_kernel(logits: Any, targets: Any, losses: Any, stride: Any, n: Any, cap: Any, block: tl.constexpr) -> None:
    """One row per instance, streaming over the vocabulary."""
    row = tl.program_id(0).to(tl.int64)
    top, total = -float("inf"), 0.0
    start = logits + row * stride
    for off in range(0, n, block):
        cols = off + tl.arange(0, block)
        mask = cols < n
        value = tl.load(start + cols, mask=mask, other=-float("inf")).to(tl.float32)
        value = tl.where(mask, cap * tl.sigmoid(value / cap), -float("inf"))
        new = tl.maximum(top, tl.max(value, axis=0))
        total = total * tl.exp(top - new) + tl.sum(tl.exp(value - new), axis=0)
        top = new
    target = tl.load(targets + row).to(tl.int32)
    hit = cap * tl.sigmoid(tl.load(start + target).to(tl.float32) / cap)
    tl.store(losses + row, top + tl.log(total) - hit)


@triton.jit
def product_kernel(a: Any, b: Any, c: Any, M: Any, N: Any, K: Any, BM: tl.constexpr, BN: tl.constexpr,
                   BK: tl.constexpr, PROGRAMS: tl.constexpr) -> None:  # fmt: skip
    """Tiles of a @ b.T through descriptors, by a fixed number of instances; the two halves of a tile stored apart."""
    across = tl.cdiv(N, BN)
    for tile in tl.range(tl.program_id(axis=0), tl.cdiv(M, BM) * across, PROGRAMS, flatten=True):
        m, n = (tile // across) * BM, (tile % across) * BN
        acc = tl.zeros((BM, BN), dtype=tl.float32)
        for k in range(tl.cdiv(K, BK)):
            acc = tl.dot(a.load([m, k * BK]), b.load([n, k * BK]).T, acc)
        halves = tl.permute(tl.reshape(acc, (BM, 2, BN // 2)), (0, 2, 1))
        low, high = tl.split(halves)
        c.store([m, n], clamp_up(low).to(tl.bfloat16))
        c.store([m, n + BN // 2], clamp_up(high).to(tl.bfloat16))


@triton.autotune(configs=[triton.Config({"BLOCK": 8}, num_warps=4)], key=["n"])
@triton.heuristics({"EVEN": lambda args: args["n"] % args["BLOCK"] == 0})
@triton.jit
def scale_kernel(x: Any, y: Any, n: Any, factor: Any, BLOCK: tl.constexpr, EVEN: tl.constexpr) -> None:
    """Pointer blocks, a grid from a function, and a value kept under another name."""
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    kept = offsets
    offsets += 1
    mask = kept < n
    value = tl.load(x + kept, mask=mask) if not EVEN else tl.load(x + kept)
    value *= factor
    tl.store(y + offsets - 1, value + 0.0 * kept, mask=mask)


@triton.jit
def block_kernel(x: Any, out: Any, count: Any, M: Any, N: Any, BM: tl.constexpr, BN: tl.constexpr) -> None:
    """Two-dimensional addresses, a block pointer and an atomic."""
    rows, cols = tl.program_id(0) * BM + tl.arange(0, BM), tl.arange(0, BN)
    tile = tl.load(x + rows[:, None] * N + cols[None, :], mask=(rows[:, None] < M) & (cols[None, :] < N), other=0.0)
    again = tl.load(tl.make_block_ptr(x, (M, N), (N, 1), (tl.program_id(0) * BM, 0), (BM, BN), (1, 0)),
                    boundary_check=(0, 1))  # fmt: skip
    tl.store(out + rows, tl.sum(tile + again, axis=1), mask=rows < M)
    tl.atomic_add(count, tl.sum((rows < M).to(tl.int32), axis=0))


@triton.jit
def odd_kernel(x: Any) -> None:
    """Something that is not imitated."""
    tl.inline_asm_elementwise("nop", "=r", [x], dtype=tl.int32, is_pure=True, pack=1)
