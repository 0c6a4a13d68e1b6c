"""What an evaluation did, in order, for those who want to prove it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from reference_model.evaluation.chunks import Window


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was done with the positions ``start:end`` of the stream, by this process.

    ``epoch`` counts the passes over a chunk; 0 for a score.
    """

    kind: Literal["score", "train"]
    chunk: int
    start: int
    end: int
    epoch: int = 0


@dataclass(slots=True)
class Trace:
    """Events in order, and the loss in nats of each position (float32 [n]; NaN where it was not scored)."""

    losses: Tensor
    events: list[Event] = field(default_factory=list)

    def scored(self, chunk: int, windows: Sequence[Window], losses: Tensor, first: int = 0) -> None:
        """Note the scores of ``windows`` of a chunk; ``losses`` [b, s] begin at position ``first`` of each window."""
        for window, row in zip(windows, losses.float().cpu(), strict=True):
            begin = window.start + first
            self.losses[window.scored : window.end] = row[window.scored - begin : window.end - begin]
            self.events.append(Event("score", chunk, window.scored, window.end))

    @classmethod
    def of(cls, tokens: Tensor) -> Trace:
        """An empty trace for a stream of tokens [n + 1]."""
        return cls(torch.full((tokens.numel() - 1,), float("nan")))


def trained_before_scored(events: list[Event]) -> list[Event]:
    """The updates that used a position before it was scored; empty where the score comes first everywhere."""
    scored: set[int] = set()
    early: list[Event] = []
    for event in events:
        positions = range(event.start, event.end)
        if event.kind == "score":
            scored.update(positions)
        elif not scored.issuperset(positions):
            early.append(event)
    return early
