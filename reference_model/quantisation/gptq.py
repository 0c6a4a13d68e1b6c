"""GPTQ with the full Hessian (Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization", algorithm 1).

For a linear layer y = W x the error of quantised weights is (W - Q) H (W - Q)^T with H = X^T X over calibration inputs.
Columns are rounded one after the other; the error of each is spread over the columns that are still to come, by the
rows of the upper Cholesky factor of H's inverse. Columns are taken in the order of H's diagonal, largest first, and in
blocks, so that most of the spreading is one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reference_model.config import QuantConfig
from reference_model.quantisation.clip_search import scales
from reference_model.quantisation.quantised import QuantisationError
from reference_model.quantisation.rows import Levels


@dataclass(frozen=True, slots=True)
class Prepared:
    """A Hessian made ready."""

    order: Tensor
    """int64 [columns]: the column that is rounded first, second, ..."""
    factor: Tensor
    """float32 [columns, columns], upper triangular, of the inverse, in that order."""
    dead: Tensor
    """bool [columns], in that order: inputs that were always zero."""


def prepare(hessian: Tensor, damp: float) -> Prepared:
    """Damp the diagonal by ``damp`` times its mean and factor the inverse. Raises `QuantisationError`."""
    damped = hessian.float().clone()
    dead = torch.diag(damped) == 0
    damped[dead, dead] = 1
    damped.diagonal().add_(damp * torch.diag(damped).mean())
    order = torch.argsort(torch.diag(damped), descending=True)
    damped = damped[order][:, order]
    lower, failed = torch.linalg.cholesky_ex(damped)
    if int(failed) or not bool(lower.isfinite().all()):
        raise QuantisationError("a Hessian is not positive definite, even damped")
    factor = torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)
    return Prepared(order, factor, dead[order])


def quantise_gptq(weight: Tensor, hessian: Tensor, span: Levels, config: QuantConfig) -> tuple[Tensor, Tensor]:
    """GPTQ for every clip candidate, and of these the one with the smallest squared error of the weights.

    Args: weight [rows, columns], hessian [columns, columns]. Gives int8 [rows, columns] and float16 [rows]. Values are
    computed from the float16 scales. Raises `QuantisationError`.
    """
    weight = weight.float()
    ready = prepare(hessian, config.gptq_damp)
    ordered = weight[:, ready.order]
    ordered[:, ready.dead] = 0
    best: tuple[Tensor, Tensor] | None = None
    least = float("inf")
    for candidate in scales(weight, span, config):
        scale = candidate.to(torch.float16)
        values = round_columns(ordered, ready.factor, scale.float(), span, config.gptq_block_size)
        error = float((ordered - values.float() * scale.float()[:, None]).pow(2).mean())
        if error < least:
            best, least = (values, scale), error
    if best is None:
        raise QuantisationError("a matrix holds values that are not finite")
    return best[0][:, torch.argsort(ready.order)].contiguous(), best[1]


def round_columns(weight: Tensor, factor: Tensor, scale: Tensor, span: Levels, block_size: int) -> Tensor:
    """Round the columns of ``weight`` [rows, columns] from left to right, errors spread: int8 [rows, columns]."""
    work = weight.clone()
    values = torch.zeros_like(weight, dtype=torch.int8)
    columns = weight.shape[1]
    for start in range(0, columns, block_size):
        end = min(start + block_size, columns)
        errors = _round_block(work[:, start:end], factor[start:end, start:end], scale, span, values[:, start:end])
        if end < columns:
            work[:, end:] -= errors @ factor[start:end, end:]
    return values


def _round_block(work: Tensor, factor: Tensor, scale: Tensor, span: Levels, values: Tensor) -> Tensor:
    """One block, in place; the errors [rows, block], in units of the factor's diagonal."""
    errors = torch.zeros_like(work)
    for i in range(work.shape[1]):
        column = work[:, i]
        rounded = torch.clamp(torch.round(column / scale), span.low, span.high)
        values[:, i] = rounded.to(torch.int8)
        error = (column - rounded * scale) / factor[i, i]
        work[:, i + 1 :] -= error[:, None] * factor[i, i + 1 :][None]
        errors[:, i] = error
    return errors
