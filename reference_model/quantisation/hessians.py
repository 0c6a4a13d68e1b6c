"""Calibration for GPTQ: sequences, and X^T X of what reaches every matrix while the model reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from reference_model.config import QuantConfig
from reference_model.model.linear import BankedLinear, Linear
from reference_model.model.transformer import GPT

GENERATED_AT_ONCE = 8
SMALLEST_MEAN = 1e-6


def calibration_model(model: GPT, recurrence: bool) -> GPT:
    """``model`` for calibration: the same object, or a copy whose layers all run once."""
    if recurrence or not model.config.recur_layers:
        return model
    copy = GPT(replace(model.config, recur_layers=()))
    copy.load_state_dict(model.state_dict())
    return copy.to(next(model.parameters()).device)


def self_generated(
    model: GPT, config: QuantConfig, seed: int, on_progress: Callable[[int, int], None] | None = None
) -> list[Tensor]:
    """Sequences [1, length] int64 that the model itself writes: no data is read.

    Each begins with a token drawn evenly; every later one is drawn from softmax(logits / temperature), under one
    generator with a fixed seed on the model's device. ``on_progress``: called with sequences done and in all.
    """
    device = next(model.parameters()).device
    generator = torch.Generator(device=device).manual_seed(seed)
    out: list[Tensor] = []
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        while len(out) < config.calibration_sequences:
            rows = min(GENERATED_AT_ONCE, config.calibration_sequences - len(out))
            tokens = _generate(model, rows, config, generator)
            out += [tokens[i : i + 1] for i in range(rows)]
            if on_progress is not None:
                on_progress(len(out), config.calibration_sequences)
    model.train(was_training)
    return out


def _generate(model: GPT, rows: int, config: QuantConfig, generator: torch.Generator) -> Tensor:
    """[rows, length] int64."""
    vocab = model.config.vocab_size
    tokens = torch.randint(0, vocab, (rows, 1), device=generator.device, generator=generator)
    for _ in range(config.calibration_length - 1):
        logits = model(tokens)[:, -1]
        chances = torch.softmax(logits / config.calibration_temperature, dim=-1)
        drawn = torch.multinomial(chances, 1, generator=generator)
        tokens = torch.cat([tokens, drawn], dim=1)
    return tokens


def collect(model: GPT, batches: Iterable[Tensor], damp: float = 0.0) -> dict[str, Tensor]:
    """Mean X^T X over batches for each matrix, by its name: float32 [in, in] on the CPU.

    Args: batches: tokens [b, s] that the model reads. damp: this share of the diagonal's mean is added to it.
    """
    found: dict[str, Tensor] = {}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, Linear | BankedLinear):
            found[f"{name}.weight"] = torch.zeros(module.weight.shape[1], module.weight.shape[1])
            hooks.append(module.register_forward_pre_hook(_adding(found[f"{name}.weight"])))
    was_training = model.training
    model.eval()
    count = 0
    try:
        with torch.inference_mode():
            for batch in batches:
                model(batch.to(next(model.parameters()).device))
                count += 1
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    for total in found.values():
        total /= max(count, 1)
        if damp:
            total.diagonal().add_(damp * torch.diag(total).mean().clamp_min(SMALLEST_MEAN))
    return found


def _adding(total: Tensor) -> Callable[[torch.nn.Module, Any], None]:
    def hook(module: torch.nn.Module, inputs: Any) -> None:
        x = inputs[0].detach().float().flatten(0, -2)
        total.add_((x.T @ x).cpu())

    return hook
