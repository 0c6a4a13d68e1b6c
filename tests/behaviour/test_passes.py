"""Which scores make a printed number: of several stretches with nearly its mean the one that is meant."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from auditor.behaviour.facts import Cause
from auditor.behaviour.host import RunLog
from auditor.behaviour.questions import coverage, score_before_update
from auditor.behaviour.run import Run
from auditor.behaviour.scores import Locator
from auditor.core.types import Outcome
from tests.behaviour.test_questions import ROW, Script, world


def _learnt_from(script: Script, low: int, high: int) -> None:
    """The rows' tokens are read again three times, with losses that lie close to the printed mean."""
    for _ in range(3):
        first = script.score(low, high, grad=True, line=30)
        values = np.full(high - low, 6.9 + 1e-6 * script.scores % 1e-5)
        labels = np.arange(first, first + values.size)
        site = ["train_gpt.py", 31, "learn"]
        script.add("Summed", {"labels": labels, "values": values}, how="mean", site=site, total=0.0, grad=True)


def test_the_exact_mean_wins_over_one_that_comes_near_it() -> None:
    script = Script().sweep(values=lambda loss, _: 6.9 + 1e-4 * (loss - 6.9), after=_learnt_from)
    run = script.print()
    assert run.judged is not None
    assert run.judged.exact and run.judged.site == ("train_gpt.py", 20)
    assert coverage.ask(run, world()).outcome is Outcome.CLEAR


def test_rows_that_count_twice_are_told_by_an_exact_mean_only() -> None:
    starts = [low for low in range(1, world().val.tokens.size, ROW) for _ in range(2)]
    script = Script().sweep(starts)
    assert coverage.ask(script.print(), world()).outcome is Outcome.FOUND
    coarse = Script().sweep(starts)
    text = f"final val_loss:{coarse.total / coarse.count:.4f}"
    coarse.add("Printed", text=text, stream="out", site=["train_gpt.py", 40, "main"])
    run = Run(RunLog(coarse.events, 0, finished={"status": "ended"}), world().val, world().spec)
    assert run.judged is not None and run.judged.matched and not run.judged.exact
    assert coverage.ask(run, world()).outcome is Outcome.UNKNOWN


def test_log_probabilities_that_are_added_up_are_losses() -> None:
    script = Script()
    size = world().val.tokens.size - 1
    values = np.linspace(-9.0, -5.0, size)
    script.count_in(script.score(1, size + 1, -values), values, 1)
    script.total = -script.total
    run = script.print()
    assert run.judged is not None and run.judged.matched and run.judged.exact
    assert np.array_equal(run.judged.values, -values)


def _coarse(script: Script, mean: float, decimals: int = 4) -> Run:
    """Print a rounded mean and end."""
    text = f"final val_loss:{mean:.{decimals}f}"
    script.add("Printed", text=text, stream="out", site=["train_gpt.py", 40, "main"])
    return Run(RunLog(script.events, 0, finished={"status": "ended"}), world().val, world().spec)


def test_a_pass_begins_where_an_evaluation_begins() -> None:
    """With a coarse figure, what an evaluation added up last may seem to belong to the one after it."""
    rows = list(range(1, world().val.tokens.size, ROW))
    script = Script().sweep([*rows[6:], *rows[:6]], values=lambda loss, _: 0.0 * loss + 6.9)
    script.add("Printed", text="step val_loss:6.9000", stream="out", site=["train_gpt.py", 40, "main"])
    script.sweep([*rows[:5], *rows[6:]], values=lambda loss, _: 0.0 * loss + 6.9)
    run = _coarse(script, 6.9)
    assert run.judged is not None
    assert run.judged.begins and run.judged.once == 1.0
    assert run.judged.positions.size == world().val.tokens.size - 1 - ROW


def _adapt(script: Script, low: int, high: int) -> None:
    first = script.score(low, high, grad=True, line=31, function="adapt")
    script.train(first, high - low, before=float(first))


def test_of_several_epochs_the_last_one_counts_where_the_sum_is_set_back() -> None:
    script, rows = Script(), list(range(1, world().val.tokens.size, ROW))
    losses = []
    for batch, worse in ((rows[:16], 0.013), (rows[16:], 0.0)):
        for epoch in range(3):
            before, shift = script.total, worse - 0.1 * epoch
            script.sweep(batch, values=lambda loss, _, shift=shift: loss + shift, after=_adapt)
        losses.append(script.total - before)
    run = _coarse(script, sum(losses) / (world().val.tokens.size - 1), 8)
    assert run.judged is not None
    assert run.judged.exact and run.judged.once == 1.0
    assert coverage.ask(run, world()).outcome is Outcome.CLEAR
    answer = score_before_update.ask(run, world())
    assert answer.outcome is Outcome.FOUND
    assert answer.evidence[0].cause is Cause.TRAINED_IN_PASS


def test_overlapping_losses_of_the_model_are_no_pass() -> None:
    """What a script counts of its windows was not seen: two of each token's losses are no double count."""
    script = Script()
    for low in range(1, world().val.tokens.size - ROW, ROW // 2):
        script.score(low, low + ROW)
    run = _coarse(script, 7.0)
    assert run.judged is not None and not run.judged.matched
    assert coverage.ask(run, world()).outcome is Outcome.UNKNOWN


def test_short_documents_here_and_long_ones_there_make_one_pass() -> None:
    script, end = Script(), world().val.tokens.size
    script.sweep(list(range(1, 1024, ROW)))
    half = len(script.events)
    script.sweep(list(range(1025, end, ROW)))
    for event in script.events[half:]:
        if event.kind == "Summed":
            event.fields["site"] = ["train_gpt.py", 60, "long_documents"]
    run = script.print()
    assert run.judged is not None and run.judged.exact
    assert run.judged.positions.size == end - 1


def test_where_two_rows_meet_the_token_belongs_to_the_row_that_ends() -> None:
    """The next row begins where, by chance, the token before it is the one that ends this row."""
    tokens = world().val.tokens.astype(np.int64)
    after: dict[int, list[int]] = {}
    for at, token in enumerate(tokens.tolist()):
        after.setdefault(token, []).append(at)
    end, start = next(
        (places[0], places[1]) for places in after.values() if len(places) > 1 and 200 < places[0] < places[1] - 300
    )
    rows = [np.arange(end - 127, end - 63), np.arange(end - 63, end + 1), np.arange(start + 1, start + 65)]
    where = np.concatenate([*rows, np.arange(start + 65, start + 129)])
    found = Locator(world().val, world().spec).locate(tokens[where].astype(np.int32))
    assert (found == where).all()


def test_of_several_epochs_the_best_one_of_each_document_may_count() -> None:
    starts = [*world().val.starts.tolist(), world().val.tokens.size]
    script, kept, count = Script(), 0.0, 0
    for number, (low, high) in enumerate(pairwise(starts)):
        best = np.inf
        for epoch in range(3):
            loss = np.full(high - low - 1, 6.9 + 0.01 * ((number + 2 * epoch) % 3) + 0.001 * number)
            if loss.size:
                script.count_in(script.score(low + 1, high, loss), loss, low + 1)
                best = min(best, float(loss.sum()))
        kept, count = kept + (best if high - low > 1 else 0.0), count + high - low - 1
    run = _coarse(script, kept / count, 8)
    assert run.judged is not None
    assert run.judged.exact and run.judged.once == 1.0
    assert run.judged.positions.size > 0.9 * count
