"""Symmetric integer quantisation with one scale for each row, or one for the tensor.

A weight w becomes round(w / s), clamped to the range [low, high], with s = max(clip, floor) / high, where ``clip`` is
the largest magnitude of the row or a percentile of its magnitudes. Halves are rounded to even, as torch rounds.
Scales are stored as float16.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reference_model.config import QuantConfig, Scheme
from reference_model.quantisation.quantised import QuantisationError

CLIP_FRACTION = 99.99984 / 100.0
"""Fixed percentile of the competition's baseline script, as a fraction."""
QUANTILE_LIMIT = 1 << 24
"""Elements beyond which `torch.quantile` refuses."""
SMALLEST_SCALE = 2.0**-24
"""Of float16."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The integers that values may take."""

    low: int
    high: int


def levels(scheme: Scheme, config: QuantConfig) -> Levels:
    """The range of an integer scheme. Raises `QuantisationError` for another one."""
    if scheme in ("int8_row", "int8_tensor"):
        return Levels(-127, 127)
    if scheme == "int6_row":
        return Levels(config.int6_min, 31)
    if scheme == "int5_row":
        return Levels(-15, 15)
    raise QuantisationError(f"{scheme} has no integer levels")


def quantile(magnitudes: Tensor, fractions: Tensor | float) -> Tensor:
    """Quantiles along the last dimension, interpolated linearly: [rows] or [fractions, rows], float32."""
    if magnitudes.numel() <= QUANTILE_LIMIT:
        return torch.quantile(magnitudes, fractions, dim=-1)
    if isinstance(fractions, Tensor):
        return torch.stack([quantile(magnitudes, float(fraction)) for fraction in fractions])
    ordered = magnitudes.sort(dim=-1).values
    rank = torch.tensor(fractions, dtype=ordered.dtype) * (ordered.shape[-1] - 1)
    low = int(rank.floor())
    high = min(low + 1, ordered.shape[-1] - 1)
    return torch.lerp(ordered[..., low], ordered[..., high], rank - low)


def row_scales(clip: Tensor, high: int, floor: float) -> Tensor:
    """Scales [..., rows] for rows that are clipped at ``clip`` [..., rows], float32."""
    if floor > 0:
        return (clip / high).clamp_min(floor / high)
    return torch.where(clip > 0, clip / high, 1.0).clamp_min(SMALLEST_SCALE)


def to_levels(weight: Tensor, scale: Tensor, span: Levels) -> Tensor:
    """``weight`` [rows, columns] in steps of ``scale`` [rows] or []: int8 [rows, columns]."""
    step = scale[:, None] if scale.ndim else scale
    return torch.clamp(torch.round(weight / step), span.low, span.high).to(torch.int8)


def quantise_rows(weight: Tensor, span: Levels, floor: float = 1.0) -> tuple[Tensor, Tensor]:
    """Per row with the fixed percentile: int8 [rows, columns], float16 [rows] from ``weight`` [rows, columns]."""
    weight = weight.float()
    clip = quantile(weight.abs(), CLIP_FRACTION)
    clipped = torch.clamp(weight, -clip[:, None], clip[:, None])
    scale = row_scales(clip, span.high, floor)
    return to_levels(clipped, scale, span), scale.to(torch.float16)


def quantise_tensor(weight: Tensor, span: Levels) -> tuple[Tensor, Tensor]:
    """One scale from the largest magnitude: int8 of ``weight``'s shape, float16 []. Values use the stored scale."""
    weight = weight.float()
    largest = float(weight.abs().max())
    scale = torch.tensor(largest / span.high if largest > 0 else 1.0, dtype=torch.float16)
    return to_levels(weight, scale.float(), span), scale


def quantise_tensor_clipped(weight: Tensor, span: Levels) -> tuple[Tensor, Tensor]:
    """One scale from the fixed percentile of all magnitudes: int8 of ``weight``'s shape, float32 []."""
    weight = weight.float()
    clip = float(quantile(weight.abs().flatten(), CLIP_FRACTION))
    scale = torch.tensor(clip / span.high if clip > 0 else 1.0, dtype=torch.float32)
    return to_levels(weight.clamp(-clip, clip), scale, span), scale
