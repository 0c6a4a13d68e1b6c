"""Planted runs to their outcome, by launch, record and judgement, on a machine that says it is the competition's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.intake import load_submission
from auditor.rerun import record, series
from auditor.rerun.facts import RunOutcome
from auditor.rerun.options import TimeLimits
from auditor.rerun.outcome import judge
from auditor.rerun.plan import make_plan
from auditor.rerun.real import RealRunner
from auditor.rerun.series import Stages
from auditor.rerun.view import Silent
from tests.rerun.judging import EIGHT
from tests.rerun.planted import BEGIN, FINISHES, HANGS, QUICK, options, plant

SLOW_TRAINING = FINISHES.replace("time.sleep(0.04)", "time.sleep(0.6)")
SLOW_SCORE = FINISHES.replace("time.sleep(0.06)", "time.sleep(1.8)")
TOO_LARGE = FINISHES.replace("bytes(range(250)) * 20", "bytes(16_000_001)").replace("5000 bytes", "16000001 bytes")
THREE = (1, 2, 3)


def outcome_of(folder: Path, script: str, limits: TimeLimits, seeds: tuple[int, ...], claimed: float) -> RunOutcome:
    place = plant(folder, script)
    by_seed = {seed: {"val_bpb": claimed} for seed in seeds}
    stated = {"name": "x", "val_bpb": claimed, "bytes_total": 6000, "seed_results": by_seed}
    (place / "submission.json").write_text(json.dumps(stated))
    asked = options(folder / "kept", seeds=seeds, limits=limits)
    submission = load_submission(place)
    planned = replace(make_plan(submission, asked, folder / "kept"), hardware=EIGHT)
    series.rerun(submission, planned, asked, Silent(), RealRunner, Stages())
    return judge(record.read(folder / "kept"), submission).outcome


@pytest.mark.slow
@pytest.mark.parametrize(("script", "limits", "seeds", "claimed", "wanted"), [
    (FINISHES, QUICK, THREE, 1.2276, RunOutcome.REPRODUCED),
    (FINISHES, QUICK, THREE, 1.2276 - 0.06, RunOutcome.NOT_REPRODUCED),
    (FINISHES, QUICK, THREE, 1.2276 + 0.06, RunOutcome.REPRODUCED),
    (FINISHES, QUICK, (1,), 1.2276 - 0.06, RunOutcome.NOT_REPRODUCED),
    (TOO_LARGE, QUICK, (1,), 1.2276, RunOutcome.OVER_CAP),
    (SLOW_TRAINING, TimeLimits(0.3, 20.0, 20.0, 20.0), (1,), 1.2276, RunOutcome.OVER_TIME),
    (SLOW_SCORE, TimeLimits(20.0, 0.3, 20.0, 20.0), (1,), 1.2276, RunOutcome.OVER_TIME),
    (HANGS, TimeLimits(0.3, 20.0, 0.2, 20.0), (1,), 1.2276, RunOutcome.TIMED_OUT),
    (BEGIN + "raise ValueError\n", QUICK, (1,), 1.2276, RunOutcome.CRASHED),
    (BEGIN + "raise MemoryError\n", QUICK, (1,), 1.2276, RunOutcome.OUT_OF_MEMORY),
    (BEGIN, QUICK, (1,), 1.2276, RunOutcome.INCONCLUSIVE),
])  # fmt: skip
def test_each_gets_its_outcome(
    tmp_path: Path, script: str, limits: TimeLimits, seeds: tuple[int, ...], claimed: float, wanted: RunOutcome
) -> None:
    assert outcome_of(tmp_path, script, limits, seeds, claimed) is wanted
