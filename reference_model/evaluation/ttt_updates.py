"""Updates of test-time training: what is trained, by which optimiser, how fast, how often."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from reference_model.config import TttConfig
from reference_model.evaluation.bpb import Tally
from reference_model.evaluation.ttt_muon import NewtonSchulz

MLP_PARTS = ("up_proj", "down_proj", "gate_proj", "mlp_up_bank", "mlp_down_bank", "mlp_gate_bank", "scale")
"""Parts of the names that #861 trains: the MLPs' matrices and every learned scale, but no bias."""


def trainable(model: nn.Module, ttt: TttConfig) -> list[nn.Parameter]:
    """The parameters that are trained; all others are frozen (``requires_grad`` is set on each)."""
    frozen = tuple(f"blocks.{i}." for i in range(ttt.freeze_blocks))
    chosen: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        wanted = not name.startswith(frozen) if frozen else True
        if ttt.mlp_only and not any(part in name for part in MLP_PARTS):
            wanted = False
        parameter.requires_grad_(wanted)
        if wanted:
            chosen.append(parameter)
    return chosen


def build_optimizer(parameters: list[nn.Parameter], ttt: TttConfig) -> Optimizer:
    """The optimiser of ``ttt.kind``; its state lives through all chunks. Raises ``ValueError`` on another kind."""
    if ttt.kind == "sgd":
        return SGD(parameters, lr=ttt.lr, momentum=ttt.momentum, weight_decay=ttt.weight_decay)
    if ttt.kind == "adamw":
        return AdamW(parameters, lr=ttt.lr, weight_decay=ttt.weight_decay)
    if ttt.kind == "muon":
        return NewtonSchulz(parameters, lr=ttt.lr, steps=ttt.newton_schulz_steps)
    raise ValueError(f"no optimiser belongs to the kind {ttt.kind!r}")


def lr_factor(chunk: int, chunks: int, ttt: TttConfig) -> float:
    """Learning rate after ``chunk`` of ``chunks``, as a share of ``ttt.lr``.

    A linear rise over the first ``warmup_fraction`` of the chunks, if any, then half a cosine to 0 at the last chunk.
    """
    warmup = max(int(chunks * ttt.warmup_fraction), 1) if ttt.warmup_fraction > 0 else 0
    if chunk < warmup:
        return (chunk + 1) / warmup
    if not ttt.cosine:
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (chunk - warmup) / max(chunks - 1 - warmup, 1)))


def epochs_of(tally: Tally, ttt: TttConfig) -> int:
    """Passes over a chunk that scored ``tally``: with ``entropy_epochs`` fewer where its mean loss is low (#1406)."""
    if not ttt.entropy_epochs:
        return ttt.epochs
    low, middle, high = ttt.entropy_epochs
    nats, tokens, _ = tally.sums.tolist()
    if nats > ttt.entropy_high * tokens:
        return high
    return low if nats < ttt.entropy_low * tokens else middle


def saved(model: nn.Module) -> list[tuple[nn.Parameter, Tensor, bool]]:
    """Each parameter with a copy of its values and whether it is trained."""
    return [(p, p.detach().clone(), p.requires_grad) for p in model.parameters()]


def restore(weights: Iterable[tuple[nn.Parameter, Tensor, bool]]) -> None:
    """What `saved` kept is put back, gradients are dropped."""
    for parameter, values, grad in weights:
        parameter.data.copy_(values)
        parameter.requires_grad_(grad)
        parameter.grad = None
