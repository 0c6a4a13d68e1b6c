"""Seconds of training and of evaluation, in every reading that has been used to judge them, against 600 s each.

The budgets stand in one sentence each (README O4, O5) and are read in several ways (rules `train-wallclock`,
`gptq-train-after-cap`, `eval-wallclock`). A reading that has been applied decides; a stricter one is measured and told.
Only when every deciding reading is over is the time over; where they part, the figures are given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from auditor.record.facts import EVAL_TOLERANCE, TRAIN_TOLERANCE
from auditor.rerun.facts import PhaseKind, SeedRun

CLOCK_TOLERANCE = 1.0
"""Seconds. The harness sees a phase begin when its line arrives, a script when it happens."""
SCRIPT_GAP = 0.05
"""Share by which a script's own training clock may stay behind the harness's before it is not believed: it leaves out
the validations inside training, which are a few per cent."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a budget: what it counts, seconds, whether it decides, and the tolerance it allows."""

    name: str
    seconds: float
    decides: bool
    tolerance: float

    def over(self, budget: float) -> bool:
        """Whether the budget is exceeded by more than the tolerance."""
        return self.seconds > budget + self.tolerance


def training(run: SeedRun) -> tuple[Reading, ...]:
    """Readings of the training budget. Compile and warm-up steps before the clock never decide, as in practice.

    Where the harness saw no training phase, only what the script itself admits is left.
    """
    spent = _spent(run)
    train = spent.get(PhaseKind.TRAIN, run.train_seconds)
    if train is None:
        return _one("the script's own clock", run.stated_train_seconds, True, TRAIN_TOLERANCE)
    own = run.stated_train_seconds
    believed = own is not None and own >= train * (1 - SCRIPT_GAP) - CLOCK_TOLERANCE
    calibration = spent.get(PhaseKind.CALIBRATION, 0.0)
    found = [
        *_one("the script's own clock", own, believed, TRAIN_TOLERANCE),
        Reading("training, by the harness's clock", train, True, CLOCK_TOLERANCE),
    ]
    if calibration > 0:
        found.append(Reading("training and calibration", train + calibration, True, CLOCK_TOLERANCE))
    whole = sum(spent.get(k, 0.0) for k in _BEFORE_EVALUATION)
    if whole > train + calibration:
        found.append(Reading("all from the launch to the finished artifact", whole, False, CLOCK_TOLERANCE))
    return tuple(found)


def evaluation(run: SeedRun) -> tuple[Reading, ...]:
    """Readings of the evaluation budget: what the score needs decides, every evaluation together is told."""
    spent = _spent(run)
    needed, own = _finite(run.eval_seconds), _finite(run.stated_eval_seconds)
    believed = own is not None and (needed is None or own >= needed * (1 - SCRIPT_GAP) - CLOCK_TOLERANCE)
    found = [
        *_one("the script's own figure", own, believed, EVAL_TOLERANCE),
        *_one("what the score needs, by the harness's clock", needed, True, EVAL_TOLERANCE),
    ]
    every = spent.get(PhaseKind.EVALUATION)
    if every is not None and (needed is None or every > needed):
        found.append(Reading("every evaluation together", every, False, EVAL_TOLERANCE))
    return tuple(found)


def over(readings: tuple[Reading, ...], budget: float) -> bool:
    """Whether every reading that decides is over; without one that decides nothing is."""
    deciding = [r for r in readings if r.decides]
    return bool(deciding) and all(r.over(budget) for r in deciding)


def disputed(readings: tuple[Reading, ...], budget: float) -> bool:
    """Whether some reading is over although not every deciding one is."""
    return not over(readings, budget) and any(r.over(budget) for r in readings)


def told(readings: tuple[Reading, ...]) -> str:
    """The figures of all readings in one sentence."""
    return ", ".join(f"{r.name} {r.seconds:.1f} s" for r in readings)


_BEFORE_EVALUATION = (
    PhaseKind.START, PhaseKind.WARM_UP, PhaseKind.TRAIN, PhaseKind.CALIBRATION, PhaseKind.SERIALISE,
)  # fmt: skip


def _spent(run: SeedRun) -> dict[PhaseKind, float]:
    """Seconds by kind of phase; kinds that did not occur are absent. A damaged span makes the whole unknown."""
    spent: dict[PhaseKind, float] = {}
    for span in run.phases:
        length = span.end - span.start
        if not math.isfinite(length) or length < 0:
            return {}
        spent[span.kind] = spent.get(span.kind, 0.0) + length
    return spent


def _one(name: str, seconds: float | None, decides: bool, tolerance: float) -> tuple[Reading, ...]:
    value = _finite(seconds)
    return () if value is None else (Reading(name, value, decides, tolerance),)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and value >= 0 else None
