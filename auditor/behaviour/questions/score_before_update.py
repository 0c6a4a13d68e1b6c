"""Score before update: no position's first score comes after an update of the weights from its own target."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.facts import Answer, Cause, Evidence, Question, Sample
from auditor.behaviour.questions.common import Backward, backwards, by_seq, first_scores, no_pass, path, quoted, spot
from auditor.behaviour.run import Run
from auditor.behaviour.toyworld.spec import World
from auditor.core.types import Confidence, Outcome

TINY = 1e-12


def ask(run: Run, world: World, invariance: Answer | None = None) -> Answer:
    """Event order by position. ``invariance`` says whether anything of an update before the pass is left in it.

    Updates inside the pass are judged by order alone; those before it (warm-ups, earlier passes on a copy) by whether
    the weights went back, and by prefix invariance.
    """
    question = Question.SCORE_BEFORE_UPDATE
    missing = no_pass(run, question)
    found = run.judged
    if found is None:
        assert missing is not None
        return missing
    positions, first = first_scores(found, run.scores)
    scored = np.full(run.stream.tokens.size, -1, np.int64)
    scored[positions] = run.scores.seq[found.scores[first]]
    scored[run.stream.starts] = -1  # the mark that begins a document is always the same token: nothing is learnt of it
    inside: list[tuple[Backward, NDArray[np.int64]]] = []
    before: list[tuple[Backward, NDArray[np.int64]]] = []
    for one in backwards(run):
        hit = one.positions[scored[one.positions] > one.update]
        if hit.size and not undone(run, one, int(scored[hit].min())):
            (inside if one.seq >= found.first_seq else before).append((one, hit))
    if missing is not None and (invariance is None or invariance.outcome is not Outcome.FOUND):
        return missing  # the last losses of the model may be those of a diagnostic
    if inside:
        return _found(run, inside, scored, Cause.TRAINED_IN_PASS)
    if missing is not None and not before:
        return missing
    if before and invariance is not None and invariance.outcome is Outcome.CLEAR:
        said = "tokens were trained on before the pass, but nothing of it is left in their scores (prefix invariance)"
        return Answer(question, Outcome.CLEAR, said)
    if before and invariance is not None and invariance.outcome is Outcome.FOUND:
        return _found(run, before, scored, Cause.TRAINED_BEFORE_PASS)
    if before:
        said = "validation tokens were trained on before the pass; whether that reaches their scores was not compared"
        return Answer(question, Outcome.UNKNOWN, said)
    said = f"none of {positions.size:,} positions is trained on before its score"
    return Answer(question, Outcome.CLEAR, said, _after(run, scored))


def _after(run: Run, scored: NDArray[np.int64]) -> tuple[Evidence, ...]:
    """The legal pattern, where there is one: tokens trained on after their own score, before others are scored."""
    assert run.judged is not None
    for one in backwards(run):
        late = one.positions[(scored[one.positions] >= 0) & (scored[one.positions] < one.update)]
        if late.size and one.seq >= run.judged.first_seq and one.update < run.judged.last_seq:
            trained = spot(one.event, f"positions {quoted(late)} are trained on after their score")
            message = "tokens are trained on after their own score and before later ones are scored"
            return (Evidence(Confidence.HIGH, message, trained, path(trained), figures={"score_first": 1.0}),)
    return ()


def undone(run: Run, one: Backward, scored: int | None = None) -> bool:
    """Whether the weights were put back to what they were before ``one`` by the time of the score at event ``scored``.

    Without ``scored``: by the first score without gradients after it.
    """
    if one.step is None or not one.step.fields.get("before"):
        return False
    number, before = one.step.fields["id"], _before(run, one)
    for event in run.events:
        if event.kind == "Stepped" and event.seq > one.update and event.fields.get("id") == number:
            looks = [[number, event.fields["before"]]]
        elif event.kind == "Scored" and event.seq > one.update:
            looks = event.fields.get("weights") or []
        else:
            continue
        if scored is not None and event.seq > scored:
            return False
        if any(look[0] == number and abs(look[1] - before) <= TINY * max(1.0, abs(before)) for look in looks):
            return True
    return False


def _before(run: Run, one: Backward) -> float:
    """The checksum before the first of an unbroken row of steps of the optimizer that ``one`` belongs to."""
    assert one.step is not None
    number, checksum, after = one.step.fields["id"], one.step.fields["before"], None
    for event in run.events:
        if event.kind != "Stepped" or event.fields.get("id") != number or event.seq > one.update:
            continue
        if after is None or abs(event.fields["before"] - after) > TINY * max(1.0, abs(after)):
            checksum = event.fields["before"]
        after = event.fields["after"]
    return float(checksum)


def _found(
    run: Run, hits: list[tuple[Backward, NDArray[np.int64]]], scored: NDArray[np.int64], cause: Cause
) -> Answer:
    positions = np.unique(np.concatenate([hit for _, hit in hits]))
    one, hit = hits[0]
    events = by_seq(run)
    score = events.get(int(scored[hit[0]]))
    trained = spot(one.event, f"gradients are taken of positions {quoted(hit)}")
    step = spot(one.step, "the weights are updated") if one.step is not None else None
    counted = spot(score, f"position {int(hit[0])} is scored after that") if score is not None else None
    share = positions.size / max(1, int((scored >= 0).sum()))
    message = f"{positions.size:,} tokens ({share:.1%} of those scored) are trained on before their score is taken"
    figures = {
        "tokens": float(positions.size), "share": share, "updates": float(len(hits)),
        "parameters": float(one.step.fields["parameters"]) if one.step is not None else 0.0,
        "share_of_weights": _share(run, one),
    }  # fmt: skip
    matched = run.judged is not None and run.judged.matched
    level = Confidence.HIGH if matched else Confidence.MEDIUM  # else the last losses of the model stand for the score
    evidence = Evidence(
        level, message, trained, path(trained, step, counted), _samples(run, positions, scored), cause,
        figures=figures,
    )  # fmt: skip
    return Answer(Question.SCORE_BEFORE_UPDATE, Outcome.FOUND, message, (evidence,))


def _share(run: Run, one: Backward) -> float:
    """Share of the largest optimizer's parameters that this update moves; 1 where that is not known."""
    largest = max((int(e.fields["parameters"]) for e in run.events if e.kind == "Stepped"), default=0)
    moved = int(one.step.fields["parameters"]) if one.step is not None else 0
    return moved / largest if moved and largest else 1.0


def _samples(run: Run, positions: NDArray[np.int64], scored: NDArray[np.int64]) -> tuple[Sample, ...]:
    """The loss that a token had where it was trained on, and the one that counts."""
    table, found = run.scores, []
    for position in positions[:5]:
        same = np.flatnonzero((table.position == position) & (table.seq < scored[position]))
        counts = np.flatnonzero((table.position == position) & (table.seq == scored[position]))
        if same.size and counts.size:
            found.append(Sample(int(position), float(table.loss[same[0]]), float(table.loss[counts[0]])))
    return tuple(found)
