"""Fake quantisation in training: the forward pass sees rounded weights, the gradient passes as if it did not.

The straight-through estimator of Bengio et al. 2013 (https://arxiv.org/abs/1308.3432).
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference_model.quantisation.rows import Levels, row_scales, to_levels

SPANS = {8: Levels(-127, 127), 6: Levels(-32, 31), 5: Levels(-15, 15)}
"""Bits to the integers that values may take."""


def rounded(weight: Tensor, bits: int, floor: float = 1.0) -> Tensor:
    """``weight`` [out, in] rounded to ``bits`` bits, one scale for each row from its largest magnitude, float32."""
    weight = weight.detach().float()
    scale = row_scales(weight.abs().amax(dim=1), SPANS[bits].high, floor)
    return to_levels(weight, scale, SPANS[bits]).float() * scale[:, None]


def fake_quantise(weight: Tensor, bits: int, dtype: torch.dtype | None = None, floor: float = 1.0) -> Tensor:
    """``weight`` [out, in] as a forward pass in ``dtype`` (None: its own) sees it; its gradient passes unchanged."""
    cast = weight.to(dtype or weight.dtype)
    return cast + (rounded(weight, bits, floor).to(cast.dtype) - cast).detach()
