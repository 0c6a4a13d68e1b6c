"""What the record witness gives a page to draw, from the logs of a small folder."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.core.exhibits import Exhibits
from auditor.record import analyse
from auditor.record.exhibits import MAX_POINTS, MAX_RUNS, exhibits, thinned
from auditor.record.facts import RecordFacts
from rules._record import SEEDS, folder, log
from tests.support import make_submission

CHUNKS = [f"  ttt_chunk [{n}/900] bpb={1.2 - n / 9000:.6f} time=1.0s" for n in range(1, 900, 100)]


def of(files: dict[str, str]) -> Exhibits:
    return exhibits(analyse(make_submission(dict(files))))


def test_losses_become_curves_of_each_log_behind_the_score() -> None:
    curves = {(c.name, c.quantity): c.points for c in of(SEEDS).curves}
    assert curves[("train.log", "train_loss")] == ((100.0, 3.0042), (12000.0, 1.0042))
    assert {name for name, _ in curves} == {"train.log", "train_seed7.log", "train_seed99.log"}


def test_test_time_training_has_a_curve_by_chunk() -> None:
    curves = {c.quantity: c.points for c in of(folder(train_log=log(CHUNKS))).curves}
    assert curves["ttt_bpb"][0] == pytest.approx((1.0, 1.2 - 1 / 9000), abs=1e-6) and len(curves["ttt_bpb"]) == 9


def test_bytes_by_part_and_in_every_reading() -> None:
    bar = of(SEEDS).bytes
    assert bar is not None and bar.cap == 16_000_000
    parts = {part.name: part.bytes for part in bar.parts}
    assert parts["compressed model"] == 15_000_000 and parts["train_gpt.py"] == len(SEEDS["train_gpt.py"])
    totals = {total.name: total.bytes for total in bar.totals}
    assert totals["as shipped"] == sum(parts.values()) and bar.why.startswith("under: ")


def test_seconds_by_phase_with_their_budgets() -> None:
    phases = {(p.run, p.phase): (p.seconds, p.budget) for p in of(SEEDS).phases}
    assert phases[("train.log", "training clock")] == (599.0, 600.0)
    assert phases[("train.log", "evaluation that the score needs")] == (90.0, 600.0)


def test_final_scores_are_listed() -> None:
    finals = of(SEEDS).finals
    assert ("train_seed7.log", 1.0599) in {(name, round(value, 6)) for name, _, value in finals}


def test_nothing_known_is_nothing_drawn() -> None:
    assert exhibits(RecordFacts()) == Exhibits()
    assert of({"train_gpt.py": "x = 1\n"}).curves == ()


def test_at_most_a_few_logs_are_drawn() -> None:
    many = {**SEEDS, **{f"train_seed{n}.log": log(bpb=f"1.06{n}00000", seed=n) for n in range(100, 120)}}
    assert len({curve.name for curve in of(many).curves}) <= MAX_RUNS


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats()), max_size=900))
def test_thinning_keeps_ends_and_extremes_and_drops_what_is_no_number(points: list[tuple[int, float]]) -> None:
    kept = thinned(points)
    finite = sorted((float(x), y) for x, y in points if math.isfinite(y))
    assert len(kept) <= MAX_POINTS and set(kept) <= set(finite) and list(kept) == sorted(kept)
    if finite:
        assert kept[0] == finite[0] and kept[-1] == finite[-1]
        assert max(y for _, y in kept) == max(y for _, y in finite)
        assert min(y for _, y in kept) == min(y for _, y in finite)


def test_a_spike_survives_the_thinning() -> None:
    points = [(n, 2.0) for n in range(20_000)]
    points[12_345] = (12_345, 9.0)
    assert (12_345.0, 9.0) in thinned(points) and len(thinned(points)) <= MAX_POINTS
