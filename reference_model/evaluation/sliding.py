"""Sliding-window scoring: every token once, with as much context before it as the windows allow.

A window begins ``stride`` tokens after the one before it and scores what is new in it; the first is scored whole.
`chunks.sliding_windows` says where they are, also with the repeated tail of the seeds' scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from reference_model.config import EvalConfig
from reference_model.data.tokens import ByteTable

from .bpb import Score, Tally
from .chunks import Window, share, sliding_windows

Progress = Callable[[int, int], None]
"""Called with the windows done and all of them."""


class Scorer(Protocol):
    """What is asked of a model."""

    @property
    def training(self) -> bool:
        """The mode."""
        ...

    def losses(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """int64 [b, s] twice -> nats, float32 [b, s]."""
        ...

    def parameters(self) -> Iterator[Tensor]:
        """Any one tells the device."""
        ...

    def train(self, mode: bool = True) -> object:
        """Switch between training and evaluation."""
        ...


@runtime_checkable
class Headed(Protocol):
    """A model that can make logits of a few positions alone; `reference_model.model.transformer.GPT` is one."""

    def hidden(self, tokens: Tensor) -> Tensor:
        """int64 [b, s] -> the last layer's output [b, s, dim]."""
        ...

    def head(self, hidden: Tensor) -> Tensor:
        """[..., dim] -> logits [..., vocab]."""
        ...


def sliding_score(
    model: Scorer,
    tokens: Tensor,
    table: ByteTable,
    config: EvalConfig,
    on_progress: Progress | None = None,
    *,
    rank: int = 0,
    world_size: int = 1,
) -> Score:
    """Score ``tokens`` (int64 [n]; the first is context only) with the windows of ``config``.

    With several ranks each scores its share of the windows, and the result is that of all of them. Raises ValueError
    for a stride that is longer than the window, for a stream of no bytes, and for ranks without a process group.
    """
    if world_size > 1 and not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        raise ValueError(f"{world_size} ranks need a process group to add up what they score")
    tally = sliding_tally(model, tokens, table, config, on_progress, rank=rank, world_size=world_size)
    tally.all_reduce()
    return tally.score()


def sliding_tally(
    model: Scorer,
    tokens: Tensor,
    table: ByteTable,
    config: EvalConfig,
    on_progress: Progress | None = None,
    *,
    rank: int = 0,
    world_size: int = 1,
) -> Tally:
    """The share of ``rank`` in `sliding_score`, not yet added up over the ranks."""
    windows = sliding_windows(tokens.numel() - 1, config.seq_len, config.stride, repeat_tail=config.repeat_tail)
    own = share(len(windows), rank, world_size)
    return _tally(model, tokens, table, windows[own.start : own.stop], config, on_progress)


def whole_stream_score(
    model: Scorer, tokens: Tensor, table: ByteTable, config: EvalConfig, on_progress: Progress | None = None
) -> Score:
    """The stream cut into sequences that do not overlap, each scored whole, as the competition's own evaluation does.

    Every token is scored once, the first of a sequence with no context but the token before it. The last sequence may
    be shorter (the competition leaves it out: `reference_model.data.shards.usable`).
    """
    total, length = tokens.numel() - 1, config.seq_len
    windows = [Window(start, start, min(start + length, total)) for start in range(0, total, length)]
    return _tally(model, tokens, table, windows, config, on_progress).score()


def _tally(
    model: Scorer,
    tokens: Tensor,
    table: ByteTable,
    windows: Sequence[Window],
    config: EvalConfig,
    on_progress: Progress | None,
) -> Tally:
    device = next(iter(model.parameters())).device
    table, tally = table.to(device), Tally(device)
    with scoring(model, device):
        for at in range(0, len(windows), config.batch_seqs):
            batch = windows[at : at + config.batch_seqs]
            score_windows(model, tokens, table, batch, config.seq_len, tally)
            if on_progress is not None:
                on_progress(at + len(batch), len(windows))
    return tally


def score_windows(
    model: Scorer, tokens: Tensor, table: ByteTable, batch: Sequence[Window], seq_len: int, tally: Tally
) -> None:
    """Add the scores of ``batch`` to ``tally``; ``table`` is on the model's device, ``tokens`` may be elsewhere.

    Where the model can, logits are made only from the first position on that any of the windows scores: with a stride
    of 64 and 2,048 tokens a window, for one in 32.
    """
    inputs, targets, scored = (part.to(tally.sums.device) for part in gather(tokens, batch, seq_len))
    first = min(each.scored - each.start for each in batch)
    losses = losses_from(model, inputs, targets, first)
    tally.add(losses, table.count(inputs, targets)[:, first:], scored[:, first:])


def losses_from(model: Scorer, inputs: Tensor, targets: Tensor, first: int = 0) -> Tensor:
    """Nats of ``targets`` [b, s] from position ``first`` on, float32 [b, s - first]."""
    if not first or not isinstance(model, Headed):
        return model.losses(inputs, targets)[:, first:]
    logits = model.head(model.hidden(inputs)[:, first:]).float()
    wanted = targets[:, first:]
    return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view(wanted.shape)


def gather(tokens: Tensor, batch: Sequence[Window], seq_len: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs and targets of windows, int64 [b, seq_len], and which targets are scored, bool [b, seq_len].

    Shorter windows are filled up with zeros behind their end, which a causal model does not see.
    """
    bounds = torch.tensor([(each.start, each.end, each.scored) for each in batch], device=tokens.device)
    start, end, scored = (column.unsqueeze(-1) for column in bounds.unbind(dim=1))
    positions = start + torch.arange(seq_len, device=tokens.device)
    inside = positions < end
    inputs, targets = (
        torch.where(inside, tokens[(positions + move).clamp(max=tokens.numel() - 1)], 0) for move in (0, 1)
    )
    return inputs, targets, inside & (positions >= scored)


@contextmanager
def scoring(model: Scorer, device: torch.device) -> Iterator[None]:
    """Evaluation mode, no gradients, bfloat16 on a GPU; the model's mode is restored afterwards."""
    was_training = model.training
    model.train(False)
    try:
        with torch.inference_mode(), autocast(device):
            yield
    finally:
        model.train(was_training)


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """bfloat16 on a GPU, as in the competition; float32 elsewhere."""
    if device.type != "cuda":
        return nullcontext()
    return torch.autocast("cuda", dtype=torch.bfloat16)
