"""Which scores make a printed number: of several stretches with nearly its mean the one that is meant."""

from __future__ import annotations

import numpy as np

from auditor.behaviour.host import RunLog
from auditor.behaviour.questions import coverage
from auditor.behaviour.run import Run
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
