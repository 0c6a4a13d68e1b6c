"""All questions together: what each needs of the others, and the two kinds of run that they are asked of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auditor.behaviour.facts import Answer, Cause, Evidence, Question, Sample
from auditor.behaviour.questions import (
    byte_accounting,
    coverage,
    data_access,
    normalisation,
    round_trip,
    score_before_update,
)
from auditor.behaviour.questions.causes import Attribution, attribute
from auditor.behaviour.questions.common import no_pass, unknown
from auditor.behaviour.questions.prefix_invariance import Comparison
from auditor.behaviour.run import Run
from auditor.behaviour.toyworld.spec import World
from auditor.core.types import Confidence, Outcome

Change = tuple[str, str, str, str]
CAUSES = {
    Cause.TRAINED_BEFORE_PASS: "weights were trained on them before the pass",
    Cause.TRAINED_IN_PASS: "weights or vectors were trained on them inside the pass",
    Cause.SCORED_BEFORE: "an earlier pass over them left something behind",
    Cause.CALIBRATED: "the model ran over them before the pass",
    Cause.SAME_FORWARD: "the model looks ahead inside one forward call",
    Cause.UNKNOWN: "by a way that the events do not show",
}


def ask_all(
    a: Run,
    world: World,
    comparisons: Sequence[Comparison],
    varied: Sequence[Run] = (),
    changes: Sequence[Change] = (),
    perturbed: Run | None = None,
) -> dict[Question, Answer]:
    """Every answer. ``changes`` are (name, from, to, role) of the knobs that scale-down changed."""
    invariant = invariance(a, comparisons)
    other = varied[0] if varied else None
    return {
        Question.PREFIX_INVARIANCE: invariant,
        Question.SCORE_BEFORE_UPDATE: score_before_update.ask(a, world, invariant),
        Question.COVERAGE: coverage.ask(a, world, changes),
        Question.NORMALISATION: normalisation.ask(a, world, invariant),
        Question.BYTE_ACCOUNTING: byte_accounting.ask(a, world),
        Question.DATA_ACCESS: data_access.ask(a, world, changes, other),
        Question.ROUND_TRIP: round_trip.ask(a, world, perturbed),
    }


def invariance(a: Run, comparisons: Sequence[Comparison]) -> Answer:
    """The answer on prefix invariance: found with its cause, clear when every cut was compared and none differs."""
    question = Question.PREFIX_INVARIANCE
    differing = [c for c in comparisons if c.differs]
    if differing:
        evidence = tuple(_difference(c, attribute(a, c)) for c in differing)
        return Answer(question, Outcome.FOUND, evidence[0].message, evidence)
    compared = [c for c in comparisons if c.compared and not c.problem]
    missing = no_pass(a, question)
    if missing is not None:
        return missing
    if not comparisons or len(compared) < len(comparisons):
        problems = [c.problem or "nothing could be compared" for c in comparisons if c not in compared]
        return unknown(question, problems[0] if problems else "no varied run was made")
    total = sum(c.compared for c in compared)
    said = f"{total:,} scores before {len(compared)} cuts stay bit for bit when only tokens scored later change"
    return Answer(question, Outcome.CLEAR, said)


def _difference(found: Comparison, why: Attribution) -> Evidence:
    size = found.positions.size
    widest = float(np.abs(found.first - found.second).max())
    message = (
        f"{size:,} of {found.compared:,} scores change when only tokens that are scored later change ({found.cut.why}; "
        f"by up to {widest:.4f} nats): {CAUSES[why.cause]}"
    )
    samples = tuple(
        Sample(int(p), float(x), float(y))
        for p, x, y in zip(found.positions[:5], found.first[:5], found.second[:5], strict=True)
    )
    figures = {"differing": float(size), "compared": float(found.compared), "widest_nats": widest, **why.figures}
    spot = why.spots[0] if why.spots else None
    return Evidence(Confidence.HIGH, message, spot, why.spots, samples, why.cause, figures=figures)
