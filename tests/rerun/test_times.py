"""Seconds by every reading: what decides, what is told, and where readings part."""

from __future__ import annotations

import math

import pytest

from auditor.rerun import times
from auditor.rerun.facts import PhaseKind
from auditor.rerun.spans import ADAPTATION
from tests.rerun.judging import finished, phases, spans

BUDGET = 600.0
TRAINING = [
    ("in time", {"phases": phases(train=599.0)}, False, False),
    ("one step over", {"phases": phases(train=600.5)}, False, False),
    ("over", {"phases": phases(train=605.0)}, True, False),
    ("over by the harness, the script's clock leaves validation out", {
        "phases": phases(train=612.0), "stated_train_seconds": 599.9}, False, True),
    ("a script's clock that lags far behind is not believed", {
        "phases": phases(train=900.0), "stated_train_seconds": 599.9}, True, False),
    ("the script admits more than the harness saw", {
        "phases": phases(train=599.0), "stated_train_seconds": 602.0}, False, True),
    ("calibration after the clock", {"phases": phases(train=599.6, calibration=4.7)}, False, True),
    ("only compile and serialise make it long", {"phases": spans(
        (PhaseKind.WARM_UP, 140.0), (PhaseKind.TRAIN, 599.0), (PhaseKind.SERIALISE, 118.0))}, False, False),
    ("short pauses for validation", {"phases": spans(
        (PhaseKind.TRAIN, 300.0), (PhaseKind.EVALUATION, 20.0, "validation at step 1"), (PhaseKind.TRAIN, 299.0))},
     False, False),
    ("long pauses of its clock", {"phases": spans(
        (PhaseKind.TRAIN, 300.0), (PhaseKind.EVALUATION, 300.0, "validation at step 1"), (PhaseKind.TRAIN, 299.0))},
     False, True),
    ("no phases, the harness's sum", {"phases": (), "train_seconds": 640.0}, True, False),
    ("no phases, the script admits", {"phases": (), "train_seconds": None, "stated_train_seconds": 640.0}, True, False),
    ("nothing known", {"phases": (), "train_seconds": None}, False, False),
    ("a damaged span", {"phases": phases(train=math.nan), "train_seconds": None}, False, False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "over", "disputed"), TRAINING, ids=[row[0] for row in TRAINING])
def test_training(name: str, changes: dict[str, object], over: bool, disputed: bool) -> None:
    readings = times.training(finished(42, **changes))  # type: ignore[arg-type]
    assert times.over(readings, BUDGET) is over
    assert times.disputed(readings, BUDGET) is disputed


LONG = phases(evaluation=612.0)
ADDED = spans(
    (PhaseKind.TRAIN, 599.0), (PhaseKind.EVALUATION, 250.0, "roundtrip"), (PhaseKind.EVALUATION, 400.0, "final"),
    (PhaseKind.END, 1.0),
)  # fmt: skip
ADAPTED = spans(
    (PhaseKind.TRAIN, 599.0), (PhaseKind.EVALUATION, 250.0, ADAPTATION), (PhaseKind.EVALUATION, 400.0, "final"),
    (PhaseKind.END, 1.0),
)  # fmt: skip
EVALUATION = [
    ("in time", {}, False, False),
    ("over", {"phases": phases(evaluation=688.0)}, True, False),
    ("within the tolerance", {"phases": phases(evaluation=600.9)}, False, False),
    ("a diagnostic beside it", {"phases": phases(aside=500.0)}, False, True),
    ("another evaluation beside it", {"phases": ADDED, "eval_seconds": 650.0}, False, True),
    ("adaptation before it", {"phases": ADAPTED, "eval_seconds": 650.0}, True, False),
    ("the script says less, nearly", {"phases": LONG, "stated_eval_seconds": 598.0}, False, True),
    ("the script says far less", {"phases": LONG, "stated_eval_seconds": 90.0}, True, False),
    ("only the script says", {"eval_seconds": None, "stated_eval_seconds": 688.0, "phases": ()}, True, False),
    ("nothing known", {"eval_seconds": None, "phases": ()}, False, False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "over", "disputed"), EVALUATION, ids=[row[0] for row in EVALUATION])
def test_evaluation(name: str, changes: dict[str, object], over: bool, disputed: bool) -> None:
    readings = times.evaluation(finished(42, **changes))  # type: ignore[arg-type]
    assert (times.over(readings, BUDGET), times.disputed(readings, BUDGET)) == (over, disputed)


def test_all_readings_are_told() -> None:
    told = times.told(times.training(finished(42, phases=phases(calibration=5.0), stated_train_seconds=598.5)))
    for figure in ("598.5", "599.0", "604.0", "714.0"):
        assert figure in told
