"""By which way later tokens reached earlier scores, on hand-made events."""

from __future__ import annotations

import numpy as np
import pytest

from auditor.behaviour.facts import Cause
from auditor.behaviour.order import cut_at
from auditor.behaviour.questions.causes import attribute
from auditor.behaviour.questions.prefix_invariance import Comparison
from auditor.behaviour.run import Run
from tests.behaviour.test_questions import ROW, Script, trains, world


def _difference(run: Run, first: int = 960) -> Comparison:
    """Scores from number ``first`` of the pass on differ; those from 1,024 on were made with changed tokens."""
    assert run.judged is not None
    cut = cut_at(run.judged, run.stream.tokens.size, 1024 + 20, "in the middle")
    where = run.judged.positions[first : first + 16]
    return Comparison(cut, 1024, where, np.zeros(16), np.ones(16))


def test_causes_are_told_apart() -> None:
    before = Script()
    trains(before, 1200, 1264)
    trained = before.sweep().print()
    assert attribute(trained, _difference(trained)).cause is Cause.TRAINED_BEFORE_PASS
    rescored = Script().sweep()
    rescored.total, rescored.count, rescored.bytes = 0.0, 0, 0
    twice = rescored.sweep().print()
    assert attribute(twice, _difference(twice)).cause is Cause.SCORED_BEFORE
    fed = Script()
    tokens = world().val.tokens[1200:1264].astype(np.int32)
    fed.add("Fed", {"tokens": tokens}, site=["train_gpt.py", 5, "calibrate"], shape=[1, 64], grad=False)
    fed.add("ArtifactWritten", path="/golf/run/m.ptz", bytes=10)
    run = fed.sweep().print()
    calibrated = attribute(run, _difference(run))
    assert calibrated.cause is Cause.CALIBRATED
    assert calibrated.spots[0].line == 5
    alone = Script().sweep().print()
    assert attribute(alone, _difference(alone, 1024)).cause is Cause.SAME_FORWARD
    assert attribute(alone, _difference(alone)).cause is Cause.UNKNOWN
    assert attribute(twice, _difference(twice, 1024)).cause is Cause.SAME_FORWARD, "no earlier pass shows in one row"
    assert attribute(run, _difference(run, 1024)).cause is Cause.SAME_FORWARD
    windows = Script().sweep()
    first = windows.score_rows(list(range(1, world().val.tokens.size, ROW)))
    both = windows.count_again(first)
    assert attribute(both, _difference(both, 1024)).cause is Cause.SAME_FORWARD, "one call, rows of its own"
    assert attribute(both, _difference(both)).cause is Cause.SCORED_BEFORE


@pytest.mark.parametrize(("loss", "cause"), [(7.0, Cause.SCORED_BEFORE), (7.5, Cause.CALIBRATED)])
def test_a_look_between_shows_whether_the_model_was_another_by_then(loss: float, cause: Cause) -> None:
    """Calibrated, written, looked at, scored: where the second run's look differs already, the look left nothing."""

    def looked(value: float) -> Run:
        script, end = Script(), world().val.tokens.size
        tokens = world().val.tokens[1200:1264].astype(np.int32)
        script.add("Fed", {"tokens": tokens}, site=["train_gpt.py", 5, "calibrate"], shape=[1, 64], grad=False)
        script.add("ArtifactWritten", path="/golf/run/m.ptz", bytes=10)
        for low in range(1, end, ROW):
            script.score(low, min(low + ROW, end), np.full(min(low + ROW, end) - low, value), line=8)
        return script.sweep().print()

    first = looked(7.0)
    assert attribute(first, _difference(first), looked(loss)).cause is cause
    assert attribute(first, _difference(first)).cause is Cause.SCORED_BEFORE  # one run alone cannot tell


def test_the_pass_s_own_reading_is_no_earlier_one() -> None:
    script, tokens = Script(), world().val.tokens.astype(np.int32)
    script.add("Fed", {"tokens": tokens}, site=["train_gpt.py", 9, "evaluate"], shape=[1, tokens.size], grad=False)
    losses = np.full(tokens.size - 1, 7.0)
    script.count_in(script.score(1, tokens.size, losses), losses, 1)
    run = script.print()
    assert attribute(run, _difference(run)).cause is Cause.SAME_FORWARD


def test_the_last_scores_before_the_cut_differ_by_their_own_forward() -> None:
    """Windows that follow each other in one call look like one row; an earlier pass shows in all of its scores."""
    script = Script().sweep()
    script.total, script.count, script.bytes = 0.0, 0, 0
    size = world().val.tokens.size
    losses = np.full(size - 1, 7.0)
    script.count_in(script.score(1, size, losses), losses, 1)
    run = script.print()
    assert attribute(run, _difference(run, 1028)).cause is Cause.SAME_FORWARD
    assert attribute(run, _difference(run, 512)).cause is Cause.SCORED_BEFORE
