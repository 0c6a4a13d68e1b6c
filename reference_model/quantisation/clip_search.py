"""GPTQ-lite: of several clip percentiles the one with the smallest squared error of the weights.

A lower clip makes the step finer for most weights and cuts the largest ones off. The submissions' scripts choose one
percentile for all rows of a matrix (``choice="tensor"``); choosing it for each row is never worse.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference_model.config import QuantConfig
from reference_model.quantisation.quantised import QuantisationError
from reference_model.quantisation.rows import Levels, quantile, row_scales, to_levels

FRACTIONS: dict[int, tuple[float, ...]] = {
    5: (0.999, 0.9995, 0.9999, 0.99999, 1.0),
    15: (0.99, 0.993, 0.995, 0.997, 0.998, 0.999, 0.9993, 0.9995, 0.9997, 0.9999, 0.99993, 0.99995, 0.99997, 0.99999,
         1.0),
}  # fmt: skip
"""Candidates by their number: 5 as in #598 and #1406, 15 as in #644. 1.0 is the plain maximum."""


def clips(weight: Tensor, candidates: int) -> Tensor:
    """Clip values [candidates, rows] for ``weight`` [rows, columns]. Raises `QuantisationError`."""
    if candidates not in FRACTIONS:
        raise QuantisationError(
            f"{candidates} clip candidates are not known; there are {', '.join(map(str, FRACTIONS))}"
        )
    return quantile(weight.abs(), torch.tensor(FRACTIONS[candidates], dtype=weight.dtype))


def scales(weight: Tensor, span: Levels, config: QuantConfig) -> Tensor:
    """Candidate scales [candidates, rows], float32, rounded to float16 where the configuration says so."""
    found = row_scales(clips(weight, config.clip_candidates), span.high, config.clip_floor)
    return found.to(torch.float16).float() if config.scales_rounded_first else found


def search(weight: Tensor, span: Levels, config: QuantConfig) -> tuple[Tensor, Tensor]:
    """The best candidate's int8 [rows, columns] and float16 [rows] for ``weight`` [rows, columns]. The first of equals.

    Raises `QuantisationError` for weights that are not finite.
    """
    weight = weight.float()
    tried = scales(weight, span, config)
    best = _by_row(weight, span, tried) if config.clip_choice == "row" else _by_tensor(weight, span, tried)
    return to_levels(weight, best, span), best.to(torch.float16)


def _by_tensor(weight: Tensor, span: Levels, tried: Tensor) -> Tensor:
    best: Tensor | None = None
    least = float("inf")
    for scale in tried:
        error = float(_squared(weight, span, scale).mean())
        if error < least:
            best, least = scale, error
    if best is None:
        raise QuantisationError("a matrix holds values that are not finite")
    return best


def _by_row(weight: Tensor, span: Levels, tried: Tensor) -> Tensor:
    errors = torch.stack([_squared(weight, span, scale).sum(dim=1) for scale in tried])
    if not bool(errors.isfinite().all()):
        raise QuantisationError("a matrix holds values that are not finite")
    best: Tensor = torch.take_along_dim(tried, errors.argmin(dim=0)[None], dim=0)
    return best.squeeze(0)


def _squared(weight: Tensor, span: Levels, scale: Tensor) -> Tensor:
    """Squared errors [rows, columns]."""
    return (weight - to_levels(weight, scale, span).float() * scale[:, None]).pow(2)
