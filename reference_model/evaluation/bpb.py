"""Bits per byte: nats / ln 2 / bytes, all sums in float64.

float32 sums would do harm: over 62 million tokens they are off by some 3e-6, the last digits that are compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Score:
    """The score of a stream of tokens."""

    loss: float
    """Mean of the tokens' losses, nats."""
    bpb: float
    """Bits per byte of text."""
    tokens: int
    """Scored; a token scored twice counts twice."""
    bytes: int
    """That the scored tokens stand for."""


class Tally:
    """Losses, tokens and bytes added up, on the device where they are made, so that nothing waits for it."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)
        """Nats, tokens and bytes; float64 holds whole numbers to 2^53."""

    def add(self, losses: Tensor, byte_counts: Tensor, scored: Tensor | None = None) -> None:
        """Add tokens by their ``losses`` (nats) and ``byte_counts``, those alone where ``scored`` is true.

        Raises ValueError where the shapes differ.
        """
        if not losses.shape == byte_counts.shape == (losses if scored is None else scored).shape:
            raise ValueError(f"losses {tuple(losses.shape)} and bytes {tuple(byte_counts.shape)} are not of one shape")
        if scored is None:
            scored = torch.ones_like(losses, dtype=torch.bool)
        nats = torch.where(scored, losses.double(), 0.0).sum()
        count = torch.where(scored, byte_counts, 0).sum()
        self.sums += torch.stack([nats, scored.sum().double(), count.double()])

    def merge(self, other: Tally) -> None:
        """Add what ``other`` has added up."""
        self.sums += other.sums.to(self.sums.device)

    def mean_loss(self) -> float:
        """Nats per token so far; not a number before the first."""
        return float(self.sums[0] / self.sums[1])

    def all_reduce(self) -> None:
        """Sum over all ranks, where there are several."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(self.sums)

    def score(self) -> Score:
        """The score of all that was added. Raises ValueError where that stands for no bytes."""
        nats, tokens, count = self.sums.tolist()
        if not tokens or not count:
            raise ValueError(f"{int(tokens):,} tokens of {int(count):,} bytes have no bits per byte")
        return Score(nats / tokens, nats / math.log(2) / count, int(tokens), int(count))
