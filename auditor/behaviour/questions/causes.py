"""By which way later tokens reached earlier scores: what the events say of a prefix-invariance difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour.align import keys
from auditor.behaviour.facts import Cause, Spot
from auditor.behaviour.order import comparable
from auditor.behaviour.questions.common import Backward, backwards, by_seq, path, spot
from auditor.behaviour.questions.prefix_invariance import Comparison
from auditor.behaviour.questions.score_before_update import undone
from auditor.behaviour.run import Run
from auditor.behaviour.scores import NOWHERE, Locator
from auditor.behaviour.wire import Event

ELSEWHERE = 16
"""Scores in rows or calls without changed tokens that must stand still before their own one is blamed."""
SMALL = 0.02
"""Share of the model's parameters up to which an optimised vector is a delta or a bias, no adaptation of weights."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """A cause with the lines that show it, and figures: ``parameters`` that the update moves, their
    ``share_of_weights`` (of the largest optimizer's), ``same_loop`` (1: the same lines scored the tokens before, in an
    earlier turn), ``scored_before`` (1: they had an earlier score), ``best_of`` (1: the lowest of several counts)."""

    cause: Cause
    spots: tuple[Spot, ...]
    figures: dict[str, float] = field(default_factory=dict)


def attribute(run: Run, difference: Comparison, other: Run | None = None) -> Attribution:
    """The cause of a difference. ``run`` is the first run of the two, ``other`` the second."""
    found = run.judged
    if found is None or not difference.positions.size:
        return Attribution(Cause.UNKNOWN, ())
    changed = ~difference.cut.keep
    first = _first_difference(run, difference)
    figures = {"scored_before": float(_scored_before(run, first)), "best_of": float(best_of(run))}
    trained = [b for b in backwards(run) if b.update < first and changed[b.positions].any()]
    trained = [b for b in trained if not undone(run, b, first)]
    if trained:
        return _trained(run, trained, first, figures)
    event = by_seq(run).get(first)
    score = spot(event, "scored here") if event is not None else None
    if _in_own_forward(run, difference, changed):
        return Attribution(Cause.SAME_FORWARD, path(score), figures)
    seen = _earlier(run, changed, found.first_seq, first)
    wrote = [e.seq for e in run.events if e.kind == "ArtifactWritten" and e.seq < first]
    rescored = [e for e in seen if e.kind == "Scored" and e.seq > max(wrote, default=-1)]
    before_that = [e for e in seen if e.seq < max(wrote, default=-1)]
    if rescored and before_that and other is not None and moved_already(run, other, rescored, changed):
        seen, rescored = before_that, []  # what was scored again was another model's by then
    if rescored:
        before = spot(rescored[0], "the same tokens were scored here before")
        return Attribution(Cause.SCORED_BEFORE, path(before, score), figures)
    if seen:
        return Attribution(Cause.CALIBRATED, path(spot(seen[0], "the model runs over the tokens here"), score), figures)
    if _in_window(run, changed, first):
        return Attribution(Cause.SAME_FORWARD, path(score), figures)
    return Attribution(Cause.UNKNOWN, path(score), figures)


def moved_already(run: Run, other: Run, events: Sequence[Event], changed: NDArray[np.bool_]) -> bool:
    """Whether the scores of ``events`` of ``run`` whose row holds no changed token differ in run ``other``."""
    ours, theirs = keys(run.events), {key: seq for seq, key in keys(other.events).items()}
    there = by_seq(other)
    before = np.concatenate([[0], np.cumsum(changed)])
    for event in events:
        twin = there.get(theirs.get(ours.get(event.seq, ("", "", 0, 0)), -1))
        first, size = int(event.fields["first"]), event.arrays["loss"].size
        where, row = run.scores.position[first : first + size], run.scores.row[first : first + size]
        kept = (where != NOWHERE) & (row != NOWHERE)
        kept &= before[np.maximum(where, 0) + 1] == before[np.maximum(np.minimum(row, where) - 1, 0)]
        if twin is not None and twin.arrays["loss"].size == size and kept.any():
            return bool((event.arrays["loss"][kept] != twin.arrays["loss"][kept]).any())
    return False


def _first_difference(run: Run, difference: Comparison) -> int:
    """Number of the event of the first score that differs."""
    found = run.judged
    assert found is not None
    at = np.flatnonzero(np.isin(found.positions[: difference.cut.index], difference.positions))
    return int(run.scores.seq[found.scores[at]].min()) if at.size else found.first_seq


def _trained(run: Run, trained: list[Backward], first: int, figures: dict[str, float]) -> Attribution:
    assert run.judged is not None
    inside = [b for b in trained if b.seq >= run.judged.first_seq]
    one = inside[-1] if inside else trained[-1]
    event = by_seq(run).get(first)
    largest = max((int(e.fields["parameters"]) for e in run.events if e.kind == "Stepped"), default=0)
    moved = int(one.step.fields["parameters"]) if one.step is not None else 0
    wrote = any(e.kind == "ArtifactWritten" and trained[-1].seq < e.seq < first for e in run.events)
    figures |= {
        "parameters": float(moved), "share_of_weights": moved / largest if largest and moved else 1.0,
        "same_loop": float(same_loop(run, event)), "artifact_between": float(wrote),
        "tokens": float(np.unique(np.concatenate([b.positions for b in trained])).size),
    }  # fmt: skip
    spots = path(
        spot(one.event, "gradients are taken of tokens that are scored later"),
        spot(one.step, "the weights are updated") if one.step is not None else None,
        spot(event, "scored here") if event is not None else None,
    )
    return Attribution(Cause.TRAINED_IN_PASS if inside else Cause.TRAINED_BEFORE_PASS, spots, figures)


def same_loop(run: Run, event: Event | None) -> bool:
    """Whether the same chain of lines has scored the tokens of ``event`` before: an earlier epoch of one loop."""
    if event is None or not event.fields.get("callers"):
        return False
    table, chain = run.scores, event.fields["callers"]
    here = table.position[(table.seq == event.seq) & (table.position != NOWHERE)]
    events = by_seq(run)
    earlier = np.unique(table.seq[(table.seq < event.seq) & np.isin(table.position, here)])
    return any(events[int(seq)].fields.get("callers") == chain for seq in earlier)


def _scoring(run: Run, changed: NDArray[np.bool_]) -> set[int]:
    """Numbers of events that score changed tokens without gradients."""
    table = run.scores
    known = (table.position != NOWHERE) & ~table.grad
    known[known] = changed[table.position[known]]
    return set(np.unique(table.seq[known]).tolist())


def _earlier(run: Run, changed: NDArray[np.bool_], start: int, first: int) -> list[Event]:
    """Events before the judged pass in which the model reads changed tokens without gradients."""
    locator, scoring, seen = Locator(run.stream, run.spec), _scoring(run, changed), []
    feeding = _own_feeds(run)
    for event in run.events:
        if event.seq >= min(start, first):
            break
        if event.kind == "Scored" and event.seq in scoring:
            seen.append(event)
        elif event.kind == "Fed" and not event.fields.get("grad") and event.seq not in feeding:
            where = locator.locate(event.arrays["tokens"])
            where = where[where != NOWHERE]
            if where.size and changed[where].any():
                seen.append(event)
    return seen


def _own_feeds(run: Run) -> set[int]:
    """The reading that belongs to the judged pass's first score comes just before it."""
    assert run.judged is not None
    start = min(run.judged.first_seq, int(run.scores.seq[run.judged.scores].min()))
    barriers = ("Fed", "Scored", "Trained", "Stepped", "ArtifactWritten", "ArtifactRead")
    before = [e.seq for e in run.events if e.seq < start and e.kind in barriers]
    tail = []
    for seq in reversed(before):
        if by_seq(run)[seq].kind != "Fed":
            break
        tail.append(seq)
    return set(tail[:4])


def _in_window(run: Run, changed: NDArray[np.bool_], first: int) -> bool:
    """Whether the event of the first difference itself holds changed tokens."""
    where = run.scores.position[run.scores.seq == first]
    where = where[where != NOWHERE]
    return bool(where.size and changed[where].any())


def _in_own_forward(run: Run, difference: Comparison, changed: NDArray[np.bool_]) -> bool:
    """Whether only scores differ that were made together with changed tokens, in one row or in one call, while those
    of other rows or calls do not: what an earlier pass left behind would show in those as well."""
    found, table = run.judged, run.scores
    assert found is not None
    known = np.flatnonzero(table.position != NOWHERE)
    touched = known[changed[table.position[known]]]
    chosen = comparable(found, table, difference.cut)
    differs = np.isin(found.positions[chosen], difference.positions)
    rows = table.seq * (run.stream.tokens.size + 1) + np.maximum(table.row, 0)
    for group in (rows, table.seq):
        beside = np.isin(group[found.scores[chosen]], np.unique(group[touched]))
        if (differs & beside).any() and not (differs & ~beside).any() and (~beside).sum() >= ELSEWHERE:
            return True
    return bool(beside[differs].all()) and _only_the_last(found.positions[chosen], differs)


def _only_the_last(where: NDArray[np.int64], differs: NDArray[np.bool_]) -> bool:
    """Whether the differing ones of the positions ``where`` are the last before the cut, and those before them stand
    still: windows that follow each other look like one row, and what an earlier pass left behind would show in all."""
    still = ~differs
    return bool(differs.any() and still.sum() >= ELSEWHERE and where[differs].min() > where[still].max())


def _scored_before(run: Run, first: int) -> bool:
    """Whether most positions of the first differing event had a score before it."""
    table = run.scores
    where = np.unique(table.position[(table.seq == first) & (table.position != NOWHERE)])
    earlier = table.position[(table.seq < first) & (table.position != NOWHERE)]
    return bool(where.size and np.isin(where, earlier).mean() > 0.5)


def best_of(run: Run) -> bool:
    """Whether the judged pass counts, for most positions, the lowest of several losses that differ."""
    found, table = run.judged, run.scores
    if found is None or not found.matched:
        return False
    known = table.position != NOWHERE
    size = run.stream.tokens.size
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    last, order = np.full(size, np.nan), np.flatnonzero(known)
    np.minimum.at(low, table.position[order], table.loss[order])
    np.maximum.at(high, table.position[order], table.loss[order])
    last[table.position[order]] = table.loss[order]
    where = found.positions
    ok = where != NOWHERE
    where, values = where[ok], found.values[ok]
    several = high[where] - low[where] > 1e-3
    if several.mean() < 0.5:
        return False
    lowest = np.abs(values - low[where]) < 1e-4
    late = np.abs(values - last[where]) < 1e-4
    return bool(lowest[several].mean() > 0.98 and not late[several].mean() > 0.98)
