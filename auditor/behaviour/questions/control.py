"""The control of every comparison: run A repeated on its own stream must be run A, bit for bit.

Where it is not, a difference from a varied run may come from the script's own chance (threads, real time, an
uninitialised buffer), and proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auditor.behaviour.order import Cut
from auditor.behaviour.questions.data_access import steered
from auditor.behaviour.questions.prefix_invariance import Comparison
from auditor.behaviour.run import Run


@dataclass(frozen=True, slots=True)
class Control:
    """Run A repeated: how it compares with run A, and the run itself (None: it was lost)."""

    comparison: Comparison
    run: Run | None = None

    @property
    def problem(self) -> str:
        """Why differences prove nothing; empty when the repeated run is run A, bit for bit."""
        held = self.comparison
        if held.differs:
            moved = held.positions.size or len(held.own)
            return (
                "the script is not deterministic: run again on the same files it gives other "
                f"{'losses' if held.positions.size else 'rows of logits'} ({moved:,} of {held.compared:,} scores)"
            )
        if held.problem or not held.compared:
            return f"run A could not be repeated: {held.problem or 'nothing could be compared'}"
        return ""


def needed(a: Run, comparisons: Sequence[Comparison], varied: Sequence[Run]) -> bool:
    """Whether something differs between run ``a`` and a varied run, so that a control must be made."""
    return any(c.differs for c in comparisons) or bool(varied and steered(a, varied[0]) is not None)


def whole(comparisons: Sequence[Comparison]) -> Cut:
    """The latest cut at which something differs (the latest of all where nothing does), with every token kept."""
    differing = [c.cut for c in comparisons if c.differs] or [c.cut for c in comparisons]
    last = max(differing, key=lambda cut: cut.index)
    return Cut(last.index, np.ones(last.keep.size, np.bool_), "run A repeated")


def lost(cut: Cut, why: str) -> Comparison:
    """The comparison at a cut that no run came back for: it stays a problem, never a pass."""
    none, empty = np.zeros(0, np.int64), np.zeros(0)
    return Comparison(cut, 0, none, empty, empty, why)
