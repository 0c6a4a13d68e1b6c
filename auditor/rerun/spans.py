"""What the spans of a run count to: the two budgets, by the reading that is applied and by a stricter one."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.rerun.facts import PhaseKind, PhaseSpan

VALIDATION = "validation at step "
"""Begins the name of an evaluation inside training."""
OUTSIDE = "outside the timer of "
"""Begins the name of time between two evaluations that the script's own timer leaves out."""
DIAGNOSTIC = "diagnostic: "
ADAPTATION = "test-time training"
EVAL_WARM_UP = "warm-up of the evaluation"
BEFORE = (PhaseKind.START, PhaseKind.WARM_UP)
"""What lies before training."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of each budget so far."""

    start: float
    """Start-up and warm-up: not counted."""
    train: float
    other: float
    """Validation inside training, calibration, serialisation, warm-up of the evaluation: not counted."""
    evaluation: float


def budget_of(span: PhaseSpan, begun: bool) -> str:
    """The field of `Spent` that a span counts to; ``begun``: training has."""
    if span.kind is PhaseKind.TRAIN:
        return "train"
    if span.kind in BEFORE and not begun:
        return "start"
    if span.kind is PhaseKind.END or (span.kind is PhaseKind.EVALUATION and not span.name.startswith(VALIDATION)):
        return "evaluation"
    return "other"


@dataclass(frozen=True, slots=True)
class Counted:
    """Seconds against the two budgets. ``strict`` adds what accepted rows leave out: calibration after the clock to
    training; diagnostics, time outside the script's timers and the warm-up of the evaluation to evaluation."""

    train: float | None
    evaluation: float | None
    train_strict: float | None
    evaluation_strict: float | None


def counted(spans: tuple[PhaseSpan, ...]) -> Counted:
    """The sums of a finished run; None where there was no such phase."""

    def total(*chosen: bool) -> float | None:
        found = [s.end - s.start for s, taken in zip(spans, chosen, strict=True) if taken]
        return sum(found) if found else None

    train = [s.kind is PhaseKind.TRAIN for s in spans]
    calibration = [s.kind is PhaseKind.CALIBRATION for s in spans]
    after = [s.kind is PhaseKind.EVALUATION and not s.name.startswith(VALIDATION) for s in spans]
    needed = [e and not s.name.startswith((DIAGNOSTIC, OUTSIDE)) for s, e in zip(spans, after, strict=True)]
    warm = [s.name == EVAL_WARM_UP for s in spans]
    return Counted(
        total(*train), total(*needed),
        total(*(a or b for a, b in zip(train, calibration, strict=True))) if any(train) else None,
        total(*(a or b for a, b in zip(after, warm, strict=True))) if any(after) else None,
    )  # fmt: skip
