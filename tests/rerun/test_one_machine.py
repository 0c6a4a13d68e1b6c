"""A record is of one machine: seeds of another do not join it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from auditor.intake import load_submission
from auditor.rerun import record, series
from auditor.rerun.plan import make_plan
from auditor.rerun.real import RealRunner
from auditor.rerun.series import Stages
from auditor.rerun.view import Silent
from tests.rerun.planted import FINISHES, options, plant, run


def test_a_record_of_another_machine_is_left_alone(tmp_path: Path) -> None:
    place, keep = plant(tmp_path, FINISHES), tmp_path / "kept"
    run(place, options(keep))
    text = (keep / record.NAME).read_text()
    submission, asked = load_submission(place), options(keep, seeds=(42, 7))
    plan = make_plan(submission, asked, keep)
    other = replace(plan, hardware=replace(plan.hardware, gpus=("NVIDIA B200",) * 8))
    with pytest.raises(record.RecordError, match="gpus differ"):
        series.rerun(submission, other, asked, Silent(), RealRunner, Stages())
    assert (keep / record.NAME).read_text() == text
