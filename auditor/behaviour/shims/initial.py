"""Matrices that begin at zero begin small instead: a few toy steps do not move them as far as a real training does.

Output projections are zero at first in most of the competition's scripts. After the toy run's steps they are still so
small that a quantiser with a least scale rounds them to zero, and then a block that looks ahead has no effect on what
is scored. Each gets the same small numbers in every run; vectors, gates and tables that are no parameters stay zero.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from auditor.behaviour.shims.context import ShimContext

SHARE = 0.5
"""Of the deviation that keeps a projection's output as large as its input."""


def install(ctx: ShimContext) -> None:
    """Patch ``nn.init.zeros_`` and ``nn.init.constant_`` with 0; their arguments and results stay as they are."""
    zeros, constant = nn.init.zeros_, nn.init.constant_

    def small_zeros_(tensor: Tensor) -> Tensor:
        return small(tensor, ctx.seed) if is_matrix(tensor) else zeros(tensor)

    def small_constant_(tensor: Tensor, val: float) -> Tensor:
        return small(tensor, ctx.seed) if val == 0 and is_matrix(tensor) else constant(tensor, val)

    ctx.patch(nn.init, "zeros_", small_zeros_)
    ctx.patch(nn.init, "constant_", small_constant_)


def is_matrix(tensor: Any) -> bool:
    """Whether ``tensor`` is a trainable matrix, or several in one, that has memory."""
    return isinstance(tensor, nn.Parameter) and not tensor.is_meta and tensor.ndim >= 2 and min(tensor.shape) > 1


def small(tensor: Tensor, seed: int) -> Tensor:
    """Fill ``tensor`` [.., out, in] with normal numbers that its shape and ``seed`` decide; nothing else is drawn."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + sum(tensor.shape))
    with torch.no_grad():
        numbers = torch.randn(tuple(tensor.shape), generator=generator) * (SHARE / math.sqrt(tensor.shape[-1]))
        tensor.copy_(numbers.to(tensor.dtype))
    return tensor
