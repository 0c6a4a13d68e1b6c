"""Seconds of training and of evaluation, in every reading that has been used to judge them, against 600 s each.

The budgets stand in one sentence each (README O4, O5) and are read in several ways (rules `train-wallclock`,
`gptq-train-after-cap`, `eval-wallclock`). A reading that has been applied decides; a stricter one is measured and told.
Only when every deciding reading is over is the time over; where they part, the figures are given.
"""

from __future__ import annotations

from dataclasses import dataclass

from auditor.record.facts import EVAL_TOLERANCE, TRAIN_TOLERANCE
from auditor.rerun.facts import PhaseKind, PhaseSpan, SeedRun
from auditor.rerun.spans import ADAPTATION, DIAGNOSTIC, OUTSIDE, VALIDATION

CLOCK_TOLERANCE = 1.0
"""Seconds. The harness sees a phase begin when its line arrives, a script when it happens."""
SCRIPT_GAP = 0.05
"""Share by which a script's own clock may stay behind the harness's before it is not believed."""
LARGEST = 1e15
"""No figure of a run is larger."""
PAUSES = 0.1
"""Share of training up to which pauses of its clock, for validation, are not worth telling."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a budget: what it counts, seconds, whether it decides, and the tolerance it allows."""

    name: str
    seconds: float
    decides: bool
    tolerance: float
    disputes: bool = True
    """Whether it names a dispute where it alone is over; False for what nobody has asked to count."""

    def over(self, budget: float) -> bool:
        """Whether the budget is exceeded by more than the tolerance."""
        return self.seconds > budget + self.tolerance


def training(run: SeedRun) -> tuple[Reading, ...]:
    """Readings of the training budget. Compile and warm-up steps before the clock never decide, as in practice.

    Where the harness saw no training phase, only what the script itself admits is left.
    """
    spent = spent_by_kind(run)
    train = spent.get(PhaseKind.TRAIN, _finite(run.train_seconds))
    own = _finite(run.stated_train_seconds)
    if train is None:
        return _one("the script's own clock", own, True, TRAIN_TOLERANCE)
    strict = _finite(run.train_seconds_strict) or train + spent.get(PhaseKind.CALIBRATION, 0.0)
    found = [
        *_one("the script's own clock", own, own is not None and _believed(own, train), TRAIN_TOLERANCE),
        Reading("training, by the harness's clock", train, True, CLOCK_TOLERANCE),
    ]
    if strict > train:
        found.append(Reading("training and calibration", strict, True, CLOCK_TOLERANCE))
    inside = _validation(run)
    if inside > PAUSES * train:
        found.append(Reading("training with the pauses of its clock", train + inside, False, CLOCK_TOLERANCE))
    whole = sum(spent.get(k, 0.0) for k in _BEFORE_EVALUATION) + inside
    if whole > strict:
        found.append(Reading("all from the launch to the finished artifact", whole, False, CLOCK_TOLERANCE, False))
    return tuple(found)


def evaluation(run: SeedRun) -> tuple[Reading, ...]:
    """Readings of the evaluation budget: what the score needs decides, what belongs to other figures is told."""
    needed, own = _finite(run.eval_seconds), _finite(run.stated_eval_seconds)
    found = [
        *_one("the script's own figure", own, own is not None and _believed(own, needed), EVAL_TOLERANCE),
        *_one("the evaluation behind the score", _headline(run), True, EVAL_TOLERANCE),
        *_one("all evaluations but diagnostics", needed, True, EVAL_TOLERANCE),
    ]
    strict = _finite(run.eval_seconds_strict)
    if strict is not None and (needed is None or strict > needed):
        found.append(Reading("with diagnostics, its warm-up and what no timer counts", strict, False, EVAL_TOLERANCE))
    return tuple(found)


def over(readings: tuple[Reading, ...], budget: float) -> bool:
    """Whether every reading that decides is over; without one that decides nothing is."""
    deciding = [r for r in readings if r.decides]
    return bool(deciding) and all(r.over(budget) for r in deciding)


def disputed(readings: tuple[Reading, ...], budget: float) -> bool:
    """Whether a reading that somebody has held to is over although not every deciding one is."""
    return not over(readings, budget) and any(r.disputes and r.over(budget) for r in readings)


def told(readings: tuple[Reading, ...]) -> str:
    """The figures of all readings in one sentence."""
    return ", ".join(f"{r.name} {r.seconds:.1f} s" for r in readings)


_BEFORE_EVALUATION = (
    PhaseKind.START, PhaseKind.WARM_UP, PhaseKind.TRAIN, PhaseKind.CALIBRATION, PhaseKind.SERIALISE,
)  # fmt: skip


def spent_by_kind(run: SeedRun) -> dict[PhaseKind, float]:
    """Seconds by kind of phase; kinds that did not occur are absent. A damaged span makes the whole unknown."""
    spent: dict[PhaseKind, float] = {}
    for span in run.phases:
        length = _finite(span.end - span.start)
        if length is None:
            return {}
        spent[span.kind] = spent.get(span.kind, 0.0) + length
    return spent


def _validation(run: SeedRun) -> float:
    """Seconds that lie between training phases: there the script says that its clock stood still."""
    kinds = [span.kind for span in run.phases]
    if PhaseKind.TRAIN not in kinds:
        return 0.0
    first, last = kinds.index(PhaseKind.TRAIN), len(kinds) - 1 - kinds[::-1].index(PhaseKind.TRAIN)
    return sum(s.end - s.start for s in run.phases[first:last] if s.kind is not PhaseKind.TRAIN)


def _headline(run: SeedRun) -> float | None:
    """Seconds of the last evaluation that ended with the score, and of the adaptation before it."""
    if run.headline is None or not spent_by_kind(run):
        return None
    ended = [
        s for s in run.phases
        if s.kind is PhaseKind.EVALUATION and s.end <= run.headline.seconds + CLOCK_TOLERANCE and not _aside(s)
    ]  # fmt: skip
    if not ended:
        return None
    adapted = sum(s.end - s.start for s in ended[:-1] if s.name == ADAPTATION)
    return ended[-1].end - ended[-1].start + adapted


def _aside(span: PhaseSpan) -> bool:
    return span.name.startswith((VALIDATION, OUTSIDE, DIAGNOSTIC))


def _believed(own: float, measured: float | None) -> bool:
    return measured is None or own >= measured * (1 - SCRIPT_GAP) - CLOCK_TOLERANCE


def _one(name: str, seconds: float | None, decides: bool, tolerance: float) -> tuple[Reading, ...]:
    value = _finite(seconds)
    return () if value is None else (Reading(name, value, decides, tolerance),)


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= LARGEST else None
