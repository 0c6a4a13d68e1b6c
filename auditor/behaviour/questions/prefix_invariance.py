"""Prefix invariance: what was scored before a moment must not change when only tokens scored later change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.order import Cut, comparable
from auditor.behaviour.run import Run


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs held against each other at one cut. Arrays have one entry for each differing score, in scoring order."""

    cut: Cut
    compared: int
    positions: NDArray[np.int64]
    first: NDArray[np.float64]
    """Losses of the run on the original stream, in nats."""
    second: NDArray[np.float64]
    """Losses of the run on the varied stream."""
    problem: str = ""
    """Why the two could not be compared, or not fully."""

    @property
    def differs(self) -> bool:
        """Whether an earlier score noticed a later change."""
        return bool(self.positions.size)


def compare(a: Run, b: Run, cut: Cut) -> Comparison:
    """Compare run ``b``, on the stream varied after ``cut``, with run ``a``; bit for bit."""
    none = np.zeros(0, np.int64)
    empty = np.zeros(0)
    if a.judged is None:
        return Comparison(cut, 0, none, empty, empty, "the first run has no pass to judge")
    if b.judged is None or b.judged.how != a.judged.how:
        return Comparison(cut, 0, none, empty, empty, "the varied run printed no score that its losses make")
    chosen = comparable(a.judged, a.scores, cut)
    positions, losses = a.judged.positions[chosen], a.judged.values[chosen]
    other = _first_values(b, a.stream.tokens.size)
    same_place = ~np.isnan(other[positions])
    positions, losses = positions[same_place], losses[same_place]
    moved = losses != other[positions]
    problem = "" if positions.size else "no score of the varied run could be matched"
    return Comparison(cut, int(positions.size), positions[moved], losses[moved], other[positions[moved]], problem)


def _first_values(run: Run, tokens: int) -> NDArray[np.float64]:
    """The first value that the judged pass adds up for each position (NaN: none), shape [tokens]."""
    values = np.full(tokens, np.nan)
    judged = run.judged
    assert judged is not None
    known = np.flatnonzero(judged.positions >= 0)[::-1]
    values[judged.positions[known]] = judged.values[known]
    return values
