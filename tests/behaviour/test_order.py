"""Locating scores, cutting in the scoring order, and what may be compared after a cut."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from auditor.behaviour.facts import Cause
from auditor.behaviour.host import RunLog
from auditor.behaviour.order import comparable, cut_at, cuts, first_scored
from auditor.behaviour.passes import Pass, Report
from auditor.behaviour.questions.control import Control, whole
from auditor.behaviour.questions.every import invariance
from auditor.behaviour.questions.prefix_invariance import compare
from auditor.behaviour.run import Run
from auditor.behaviour.scores import NOWHERE, Locator, ScoreTable
from auditor.behaviour.toyworld.spec import Stream, World, WorldSpec
from auditor.behaviour.toyworld.stream import make_world
from auditor.behaviour.toyworld.vary import vary
from auditor.behaviour.wire import Event
from auditor.core.types import Outcome

ROW = 32


@cache
def world() -> World:
    """A small toy world."""
    return make_world(WorldSpec(val_tokens=1025, train_tokens=4096, train_shards=1))


def locate(targets: NDArray[np.int64]) -> list[int]:
    """Stream positions of ``targets``."""
    return [int(p) for p in Locator(world().val, world().spec).locate(targets.astype(np.int32))]


def test_rows_are_located_by_their_content() -> None:
    tokens = world().val.tokens.astype(np.int64)
    assert locate(tokens[100:140]) == list(range(100, 140))
    assert locate(np.concatenate([tokens[500:520], tokens[40:60]])) == [*range(500, 520), *range(40, 60)]
    padded = np.concatenate([tokens[7:27], np.full(5, -100)])
    assert locate(padded) == [*range(7, 27), *[NOWHERE] * 5]


def test_training_tokens_are_nowhere() -> None:
    assert set(locate(world().train[0].tokens[:200].astype(np.int64))) == {NOWHERE}


def made(
    order: NDArray[np.int64], row: NDArray[np.int64] | None = None, per_event: int = ROW
) -> tuple[Pass, ScoreTable]:
    """A pass that scores the positions ``order`` in this order, ``per_event`` in each call."""
    size = order.size
    seq = np.arange(size) // per_event
    rows = order - (np.arange(size) % ROW) if row is None else row
    scores = ScoreTable(order, np.ones(size, np.float32), seq, rows, np.zeros(size, np.bool_))
    report = Report(10**6, "final val_loss:1.0", ("train_gpt.py", 1), ((1.0, 1),))
    numbers = np.arange(size)
    site = ("train_gpt.py", 1)
    found = Pass(report, 1.0, numbers, np.ones(size), order, 0, int(seq[-1]), "added up", site, seq, numbers)
    return found, scores


def test_a_cut_keeps_what_was_scored_before_it_in_the_submissions_order() -> None:
    order = np.concatenate([np.arange(513, 1025), np.arange(1, 513)])
    found, _ = made(order)
    cut = cut_at(found, 1025, 512, "")
    assert cut.keep[513:].all() and not cut.keep[1:513].any()


def test_an_unscored_token_goes_with_the_next_scored_one() -> None:
    found, _ = made(np.arange(10, 42))
    when = first_scored(found, 60)
    assert (when[:11] == 0).all() and when[41] == 31 and (when[42:] == 32).all()


def test_cuts_lie_inside_rows_and_one_in_the_last_tenth() -> None:
    found, scores = made(np.arange(1, 1025), per_event=4 * ROW)
    chosen = cuts(found, scores, np.asarray([1, 3, 5]), 1025)
    assert all(cut.index % ROW for cut in chosen[:2]) and chosen[1].index > 0.9 * 1024
    assert any("edge" in cut.why and cut.index % (4 * ROW) == 0 for cut in chosen)


def test_scores_whose_row_holds_a_changed_token_are_not_compared() -> None:
    found, scores = made(np.concatenate([np.arange(33, 65), np.arange(1, 33)]), row=np.repeat(1, 64))
    cut = cut_at(found, 1025, 32, "")
    assert comparable(found, scores, cut).size == 0
    found, scores = made(np.arange(1, 65))
    assert comparable(found, scores, cut_at(found, 1025, 40, "")).tolist() == list(range(40))


def scripted(stream: Stream, losses: NDArray[np.float64], skip: int = 0) -> Run:
    """A run that scores the stream in rows of `ROW`, adds up at one line and prints the mean."""
    events: list[Event] = []
    for at in range(skip, losses.size, ROW):
        targets = stream.tokens[at + 1 : at + 1 + ROW].astype(np.int32)
        loss = losses[at : at + ROW].astype(np.float32)
        site = ["train_gpt.py", 10, "f"]
        fields = {"first": at - skip, "how": "cross_entropy", "grad": False, "site": site, "shape": [ROW], "time": 0.0}
        events.append(Event("Scored", len(events), fields, {"targets": targets, "loss": loss}))
        labels = np.arange(at - skip, at - skip + ROW)
        summed = {"how": "sum", "site": ["train_gpt.py", 20, "f"], "total": float(loss.sum()), "grad": False}
        events.append(Event("Summed", len(events), summed, {"labels": labels, "values": loss.astype(np.float64)}))
    mean = float(losses[skip:].astype(np.float32).astype(np.float64).mean())
    text = f"final val_loss:{mean:.8f}"
    events.append(Event("Printed", len(events), {"text": text, "stream": "out", "site": ["train_gpt.py", 30, "g"]}, {}))
    return Run(RunLog(events, 0, finished={"status": "ended"}), stream, world().spec)


def two(change: float, at: int = 10, skip: int = 0) -> tuple[Run, Run, World]:
    """Two runs whose losses after the cut differ, and before it by ``change`` at one position."""
    rng = np.random.default_rng(0)
    first = rng.uniform(5, 8, 1024)
    second = first.copy()
    second[at] += change
    second[520:] += 0.5
    a = scripted(world().val, first)
    assert a.judged is not None
    cut = cut_at(a.judged, 1025, 520, "")
    return a, scripted(vary(world(), cut.keep, 1), second, skip), world()


@pytest.mark.parametrize(("change", "differs"), [(0.0, False), (1e-6, True), (1.0, True)])
def test_one_earlier_score_that_moves_by_a_bit_is_a_difference(change: float, differs: bool) -> None:
    a, b, _ = two(change)
    assert a.judged is not None
    found = compare(a, b, cut_at(a.judged, 1025, 520, ""))
    assert found.differs is differs and found.compared == 520 and not found.problem
    if differs:
        assert found.positions.tolist() == [11]


@pytest.mark.parametrize(("index", "told"), [(None, ()), (519, ()), (520, (521,)), (521, ()), (900, ())])
def test_a_row_that_notices_its_own_token_is_a_difference(index: int | None, told: tuple[int, ...]) -> None:
    """Only the row of the first changed token must stay: those after it read changed tokens."""
    a, b, _ = two(0.0)
    for run in (a, b):
        for event in run.events:
            if event.kind == "Scored":
                size = event.arrays["targets"].size
                event.arrays["rows"] = np.arange(event.fields["first"], event.fields["first"] + size) * 3.0
    if index is not None:
        event = next(e for e in b.events if e.kind == "Scored" and e.fields["first"] <= index < e.fields["first"] + ROW)
        event.arrays["rows"][index - event.fields["first"]] += 0.01
    assert a.judged is not None
    found = compare(a, b, cut_at(a.judged, 1025, 520, ""))
    assert found.own == told and found.differs is bool(told) and not found.positions.size and found.own_seen == 1
    blind, again, _ = two(0.0)  # no rows were seen: said in the answer, not passed over
    assert "was not tested" in invariance(blind, [compare(blind, again, found.cut)]).reason
    shaky = Control(replace(compare(a, a, whole([found])), own=told), a)
    assert bool(shaky.problem) is bool(told)  # rows that do not repeat in run A prove nothing
    assert not told or invariance(a, [found], shaky).outcome is Outcome.UNKNOWN
    answer = invariance(a, [found])
    assert (answer.outcome is Outcome.FOUND) is bool(told)
    if told:
        assert answer.evidence[0].cause is Cause.SAME_FORWARD and "told of the token" in answer.reason


def test_other_tokens_at_the_same_moments_are_a_problem_and_no_pass() -> None:
    a, b, _ = two(0.0, skip=ROW)
    assert a.judged is not None
    found = compare(a, b, cut_at(a.judged, 1025, 520, ""))
    assert not found.differs and found.problem


def test_a_cut_lies_in_what_was_read_before_the_pass() -> None:
    found, scores = made(np.arange(1, 1025))
    none, size = np.zeros(0, np.int64), world().val.tokens.size
    plain = [cut.index for cut in cuts(found, scores, none, size)]
    assert [c.index for c in cuts(found, scores, none, size, np.arange(1, 1025))] == plain
    early = cuts(found, scores, none, size, np.arange(1, 257))
    assert 64 < early[0].index < 192 and [c.index for c in early[1:]] == plain
    assert not early[0].keep[1:257].all()


def test_a_single_score_that_is_not_found_again_is_a_problem() -> None:
    a, b, _ = two(0.0)
    assert a.judged is not None
    summed = next(e for e in b.events if e.kind == "Summed")
    summed.arrays["values"][3] = np.nan
    found = compare(a, b, cut_at(a.judged, 1025, 520, ""))
    assert found.compared == 519 and not found.differs and "1 of the same moments" in found.problem
