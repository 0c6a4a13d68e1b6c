"""Hessians for GPTQ inside a run: from text of the model's own, or from training data while the clock runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from reference_model.config import Calibration, Preset
from reference_model.data.loader import TrainLoader
from reference_model.model.transformer import GPT
from reference_model.quantisation.hessians import calibration_model, collect, self_generated
from reference_model.training.distributed import Process

WORDS: dict[Calibration, str] = {
    "self_generated": "AR self-generated",
    "train": "training data",
    "train_late": "training data",
    "validation": "validation data",
}
"""As log lines name the source."""
Told = Callable[[int, int], None]


def calibrate(
    model: GPT,
    preset: Preset,
    process: Process,
    *,
    loader: TrainLoader | None = None,
    val_tokens: Tensor | None = None,
    on_progress: Told | None = None,
) -> dict[str, Tensor]:
    """Hessians [in, in] of every matrix by name, from the source that the preset names.

    Each process reads its share of the training data, and the means are averaged. ``loader`` is asked for by ``train``
    and ``train_late``, ``val_tokens`` [n] by ``validation``; `ValueError` where it is missing.
    """
    quant = preset.quant
    batches = _batches(model, preset, process, loader, val_tokens, on_progress)
    found = collect(calibration_model(model, quant.calibration_recurrence), batches, quant.gptq_damp)
    return {name: process.mean(hessian.to(process.device)).cpu() for name, hessian in found.items()}


def _batches(
    model: GPT,
    preset: Preset,
    process: Process,
    loader: TrainLoader | None,
    val_tokens: Tensor | None,
    on_progress: Told | None,
) -> Iterator[Tensor]:
    quant, train = preset.quant, preset.train
    accumulation = process.accumulation(train.micro_steps)
    if quant.calibration == "self_generated":
        yield from (s[:, :-1] for s in self_generated(model, quant, train.seed, on_progress))
    elif quant.calibration in ("train", "train_late") and loader is not None:
        for done in range(quant.calibration_sequences):
            yield loader.next_batch(train.train_batch_tokens, train.train_seq_len, accumulation)[0]
            if on_progress is not None:
                on_progress(done + 1, quant.calibration_sequences)
    elif quant.calibration == "validation" and val_tokens is not None:
        sequences = val_tokens[: (val_tokens.numel() - 1) // train.train_seq_len * train.train_seq_len]
        yield from sequences.view(-1, 1, train.train_seq_len)[: quant.calibration_sequences]
    else:
        raise ValueError(f"calibration on {quant.calibration!r} has nothing to read here")
