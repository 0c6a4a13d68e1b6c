"""Prefix invariance: what was scored before a moment must not change when only tokens scored later change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.align import values_of
from auditor.behaviour.order import Cut, comparable
from auditor.behaviour.questions.own_target import rows_of, told_of_itself
from auditor.behaviour.run import Run

NEXT = 64
"""Positions: a changed token so soon after a compared score lies in the same forward call, where there is one."""


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
    own: tuple[int, ...] = ()
    """Positions whose distribution noticed the change of their own token (`own_target`)."""
    own_seen: int = 0
    """Rows that could be held against each other for that."""

    @property
    def differs(self) -> bool:
        """Whether an earlier score noticed a later change."""
        return bool(self.positions.size or self.own)


def compare(a: Run, b: Run, cut: Cut) -> Comparison:
    """Compare run ``b``, on the stream varied after ``cut``, with run ``a``; bit for bit, moment by moment."""
    none, empty = np.zeros(0, np.int64), np.zeros(0)
    if a.judged is None:
        return Comparison(cut, 0, none, empty, empty, "the first run has no pass to judge")
    chosen = comparable(a.judged, a.scores, cut)
    positions, losses = a.judged.positions[chosen], a.judged.values[chosen]
    other, places = values_of(a, b, a.judged, chosen)
    told = ~np.isnan(other)
    same_place = told & (places == positions)
    if not same_place.any():
        return Comparison(cut, 0, none, empty, empty, _silent(b, "the varied run scored nothing at the same moments"))
    lost = int((~same_place).sum())
    positions, losses, other = positions[same_place], losses[same_place], other[same_place]
    moved = losses != other
    problem = f"the varied run scored other tokens, or none, at {lost:,} of the same moments" if lost else ""
    seen = rows_of(a, b, cut)
    own = () if moved.any() else tuple(told_of_itself(a, b, cut).tolist())
    return Comparison(
        cut, int(positions.size), positions[moved], losses[moved], other[moved], problem, own, len(seen)
    )


def tests_ahead(a: Run, cut: Cut) -> bool:
    """Whether some compared score has a changed token soon after it, so that a model that looks ahead would show.

    Not so where losses are added up from the last to the first: what is scored later then lies before.
    """
    if a.judged is None:
        return False
    changed = np.flatnonzero(~cut.keep)
    positions = a.judged.positions[comparable(a.judged, a.scores, cut)]
    after = np.searchsorted(changed, positions, side="right")
    there = after < changed.size
    return bool((changed[after[there]] - positions[there] <= NEXT).any())


def _silent(b: Run, otherwise: str) -> str:
    failure = b.log.failure()
    return f"the varied run failed: {failure}" if failure else otherwise
