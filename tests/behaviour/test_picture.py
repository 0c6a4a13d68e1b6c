"""The picture: what is drawn where, what is red, and that it stays small however long the run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.behaviour.order import cut_at
from auditor.behaviour.picture import MAX_SPANS, picture, rectangles, spans
from auditor.behaviour.questions.prefix_invariance import Comparison
from auditor.core.exhibits import MAX_BLOCKS, Mark, Picture
from tests.behaviour.test_timeline import ROW, WORLD, Tape

TOKENS = int(WORLD.val.tokens.size)


def drawn(tape: Tape, *comparisons: Comparison) -> Picture:
    """The picture of a tape."""
    made = picture(tape.run(), comparisons)
    assert made is not None
    return made


def marks(of: Picture) -> set[Mark]:
    return {block.mark for block in of.blocks}


def cheat(sweeps: int = 1) -> Tape:
    """Trains on the whole validation stream, writes the artifact, then scores it."""
    tape = Tape()
    tape.train(64)
    for _ in range(sweeps):
        for start in range(0, 1024, ROW):
            tape.train(start, train=False)
    tape.add("ArtifactWritten", path="/golf/run/model.ptz", bytes=12345)
    tape.sweep(6.25, "final", 50)
    return tape


def score_first() -> Tape:
    """Scores each row and trains on it afterwards."""
    tape = Tape()
    for start in range(0, 1024, ROW):
        tape.score(start, 6.25, 50)
        tape.train(start, train=False)
    tape.add("Printed", line=55, text="final val_loss:6.2500", stream="out")
    return tape


def test_training_before_the_score_is_red_everywhere() -> None:
    of = drawn(cheat())
    assert marks(of) == {Mark.TRAIN_DATA, Mark.TRAINED_BEFORE, Mark.JUDGED, Mark.SCORED}
    red = [b for b in of.blocks if b.mark is Mark.TRAINED_BEFORE]
    assert min(b.p0 for b in red) <= 1 and max(b.p1 for b in red) == TOKENS == of.tokens
    judged = [b for b in of.blocks if b.mark is Mark.JUDGED]
    assert max(b.t1 for b in red) <= min(b.t0 for b in judged), "all of it before the judged pass"
    assert dict(of.counts)[Mark.TRAINED_BEFORE] == dict(of.counts)[Mark.JUDGED] == 1024


def test_score_first_training_is_not() -> None:
    of = drawn(score_first())
    assert Mark.TRAINED_BEFORE not in marks(of) and Mark.TRAINED_AFTER in marks(of)
    for late in (b for b in of.blocks if b.mark is Mark.TRAINED_AFTER):
        assert any(b.mark is Mark.JUDGED and b.t1 <= late.t0 and b.p0 <= late.p0 and late.p1 <= b.p1 for b in of.blocks)


def test_training_data_lie_outside_the_stream() -> None:
    of = drawn(cheat())
    [block] = [b for b in of.blocks if b.mark is Mark.TRAIN_DATA]
    assert (block.t0, block.t1, block.p0, block.p1) == (1, 2, 0, 0)


def test_the_artifact_and_the_judged_line_have_their_moments() -> None:
    of = drawn(cheat())
    first_judged = min(b.t0 for b in of.blocks if b.mark is Mark.JUDGED)
    assert of.events == ((first_judged, "artifact written"), (of.moments, "judged score printed"))


def test_weights_that_were_put_back_are_told_apart() -> None:
    tape = Tape()
    for index, start in enumerate(range(0, 128, ROW)):
        first = tape.score(start, 7.0, 30, grad=True)
        tape.add("Trained", line=31, groups=[[first, ROW]])
        tape.add("Stepped", line=32, optimizer="AdamW", parameters=9, id=1, before=1.0 + index, after=2.0 + index)
    tape.add("Stepped", line=33, optimizer="AdamW", parameters=9, id=1, before=1.0, after=1.5)
    tape.sweep(6.25, "final", 50)
    assert Mark.UNDONE in marks(drawn(tape)) and Mark.TRAINED_BEFORE not in marks(drawn(tape))


def test_the_comparison_gives_the_cut_the_changed_tokens_and_the_scores_that_moved() -> None:
    tape = cheat()
    judged = tape.run().judged
    assert judged is not None
    cut = cut_at(judged, TOKENS, 512, "in the middle")
    moved = np.arange(100, 200)
    quiet = Comparison(cut, 900, np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    of = drawn(tape, quiet, Comparison(cut, 512, moved, np.ones(100), np.zeros(100)))
    assert of.run_b == "in the middle" and of.compared == 512 and of.differing == 100
    assert of.differing_at == ((100, 200),) and of.changed == ((513, TOKENS),)
    assert of.cut_moment is not None and of.cut_moment == of.moments - 8, "half of the sixteen rows"
    assert drawn(tape).run_b == "" and drawn(tape).cut_moment is None


def test_scores_that_only_stand_in_for_the_judged_number_are_said_to() -> None:
    tape = Tape()
    for start in range(0, 1024, ROW):
        tape.score(start, 6.25, 50)
    tape.add("Printed", line=55, text="final val_loss:3.1250 val_bpb:1.5000", stream="out")
    assert drawn(tape).stand_in and not drawn(score_first()).stand_in


def test_nothing_scored_is_no_picture() -> None:
    tape = Tape()
    tape.add("Loaded", path="x.bin", split="val")
    assert picture(tape.run(), ()) is None


def test_a_run_without_a_judged_score_is_drawn_too() -> None:
    tape = Tape()
    tape.train(0, train=False)
    assert marks(drawn(tape)) == {Mark.TRAINED_AFTER, Mark.SCORED}


def test_a_long_and_shuffled_run_stays_small() -> None:
    tape = Tape()
    rows = np.random.default_rng(0).permutation(np.arange(0, 1024, ROW).repeat(60))
    for start in rows:
        tape.train(int(start), train=False)
    tape.sweep(6.25, "final", 50)
    of = drawn(tape)
    assert len(of.blocks) <= MAX_BLOCKS and of.moments > 1900
    assert dict(of.counts)[Mark.TRAINED_BEFORE] == rows.size * ROW
    inside = [b for b in of.blocks if b.mark is not Mark.TRAIN_DATA]
    assert all(0 <= b.t0 < b.t1 <= of.moments and 0 <= b.p0 < b.p1 <= TOKENS for b in inside)
    assert of == drawn(tape), "the same run gives the same picture"


@settings(max_examples=60)
@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=8))
def test_rectangles_are_exactly_the_cells(cells: list[list[bool]]) -> None:
    grid = np.asarray(cells, np.bool_)
    count = np.zeros(grid.shape, np.int64)
    for c0, c1, r0, r1 in rectangles(grid):
        count[c0:c1, r0:r1] += 1
    assert np.array_equal(count, grid.astype(np.int64))


@settings(max_examples=60)
@given(st.sets(st.integers(0, 999), max_size=300))
def test_spans_hold_all_positions_and_are_few(positions: set[int]) -> None:
    found = spans(np.asarray(sorted(positions), np.int64), 1000)
    covered = {p for first, last in found for p in range(first, last)}
    assert positions <= covered and all(0 <= first < last <= 1000 for first, last in found)
    assert len(found) <= MAX_SPANS and list(found) == sorted(found)
    if len(positions) <= MAX_SPANS:
        assert covered == positions


@pytest.mark.parametrize("positions", [[-1], [5000]])
def test_what_is_not_in_the_stream_is_not_drawn(positions: list[int]) -> None:
    assert spans(np.asarray(positions, np.int64), 1000) == ()
