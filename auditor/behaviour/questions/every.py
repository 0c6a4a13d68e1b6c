"""All questions together: what each needs of the others, and the two kinds of run that they are asked of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
from auditor.behaviour.questions.common import no_pass, path, spot, unknown
from auditor.behaviour.questions.control import Control
from auditor.behaviour.questions.prefix_invariance import Comparison, tests_ahead
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
    control: Control | None = None,
    habits: Run | None = None,
) -> dict[Question, Answer]:
    """Every answer. ``changes`` are (name, from, to, role) of the knobs that scale-down changed; ``control``: run A
    repeated; ``habits``: the run on a stream that repeats itself."""
    later = invariance(a, [replace(c, own=()) for c in comparisons], control, varied)
    normalised = normalisation.ask(a, world, later, habits)
    updates = score_before_update.ask(a, world, later)
    # a row that is changed after the model, or by training on its token, is the matter of those questions
    said = Outcome.FOUND in (normalised.outcome, updates.outcome)
    invariant = later if said else invariance(a, comparisons, control, varied)
    other = varied[0] if varied else None
    return {
        Question.PREFIX_INVARIANCE: invariant,
        Question.SCORE_BEFORE_UPDATE: updates,
        Question.COVERAGE: coverage.ask(a, world, changes),
        Question.NORMALISATION: normalised,
        Question.BYTE_ACCOUNTING: byte_accounting.ask(a, world),
        Question.DATA_ACCESS: _data(a, world, changes, other, control),
        Question.ROUND_TRIP: round_trip.ask(a, world, perturbed),
    }


def _data(
    a: Run, world: World, changes: Sequence[Change], other: Run | None, control: Control | None
) -> Answer:
    """The answer on data access; what differs in training proves nothing where run A could not be repeated."""
    answer = data_access.ask(a, world, changes, other, control.run if control is not None else None)
    if answer.outcome is Outcome.CLEAR and (other is None or not other.log.ended):
        return unknown(Question.DATA_ACCESS, "no varied run came back: whether validation text steers training is open")
    if control is None or control.run is not None or other is None or data_access.steered(a, other) is None:
        return answer
    return unknown(Question.DATA_ACCESS, control.problem)


def invariance(
    a: Run, comparisons: Sequence[Comparison], control: Control | None = None, varied: Sequence[Run] = ()
) -> Answer:
    """The answer on prefix invariance: found with its cause, clear when every cut was compared and none differs.

    A difference counts only where run A, repeated, is the same (``control``; None: that was not tried). Where no
    recorded losses make the printed score, the model's last ones stand for it, and the confidence is medium.
    """
    question = Question.PREFIX_INVARIANCE
    differing = [c for c in comparisons if c.positions.size]
    own = [c for c in comparisons if c.own]
    if (differing or own) and control is not None and control.problem:
        return unknown(question, control.problem)
    if differing:
        level = Confidence.HIGH if no_pass(a, question) is None else Confidence.MEDIUM
        others = dict(zip(map(id, comparisons), varied, strict=False))
        evidence = tuple(_difference(c, attribute(a, c, others.get(id(c))), level) for c in differing)
        return Answer(question, Outcome.FOUND, evidence[0].message, evidence)
    if own and no_pass(a, question) is None:
        told = tuple(_told_of_itself(a, c) for c in own)
        return Answer(question, Outcome.FOUND, told[0].message, told)
    compared = [c for c in comparisons if c.compared and not c.problem]
    missing = no_pass(a, question)
    if missing is not None:
        return missing
    if not comparisons or len(compared) < len(comparisons):
        problems = [c.problem or "nothing could be compared" for c in comparisons if c not in compared]
        return unknown(question, problems[0] if problems else "no varied run was made")
    if not any(tests_ahead(a, c.cut) for c in compared):
        said = "no token just after a compared score was changed: whether the model looks ahead was not tested"
        return unknown(question, said)
    total = sum(c.compared for c in compared)
    said = f"{total:,} scores before {len(compared)} cuts stay bit for bit when only tokens scored later change"
    if not any(c.own_seen for c in compared):
        said += "; whether a distribution depends on its own token was not tested (no row of logits was seen there)"
    return Answer(question, Outcome.CLEAR, said)


def _told_of_itself(a: Run, found: Comparison) -> Evidence:
    """Evidence that a model is told of the token that it scores."""
    message = (
        f"the distribution for {len(found.own):,} tokens changes when only the token itself and later ones change "
        f"({found.cut.why}): the model is told of the token that it scores"
    )
    event = next((e for e in a.events if e.seq == _call(a, found.own[0])), None)
    score = spot(event, "scored here") if event is not None else None
    figures = {"own": float(len(found.own)), "compared": float(found.compared)}
    return Evidence(Confidence.HIGH, message, score, path(score), (), Cause.SAME_FORWARD, figures=figures)


def _call(a: Run, position: int) -> int:
    """The event of the judged pass that scores ``position``."""
    assert a.judged is not None
    at = np.flatnonzero(a.judged.positions == position)
    return int(a.scores.seq[a.judged.scores[at[0]]]) if at.size else -1


def _difference(found: Comparison, why: Attribution, level: Confidence) -> Evidence:
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
    return Evidence(level, message, spot, why.spots, samples, why.cause, figures=figures)
