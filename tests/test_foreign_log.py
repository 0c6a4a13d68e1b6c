"""A script beside the logs of another: what was scored is not there to be judged, and that is never a pass."""

from __future__ import annotations

import shutil
from pathlib import Path

from auditor.core.types import Outcome, Verdict, Witness
from auditor.engine import audit

HONEST = Path(__file__).resolve().parent.parent / "fixtures" / "submissions" / "honest_baseline"


def copied(tmp_path: Path, label: str) -> Path:
    place = tmp_path / "honest"
    shutil.copytree(HONEST, place)
    for log in place.rglob("*.log"):
        text = log.read_text(encoding="utf-8")
        log.write_text(text.replace("final_int8_zlib_roundtrip", label), encoding="utf-8")
    return place


def test_the_untouched_fixture_is_judged(tmp_path: Path) -> None:
    assert audit(copied(tmp_path, "final_int8_zlib_roundtrip")).verdict is Verdict.NO_VIOLATION_FOUND


def test_a_headline_that_the_code_cannot_have_printed_leaves_the_source_undecided(tmp_path: Path) -> None:
    report = audit(copied(tmp_path, "final_cache_mixture"))
    assert report.verdict is not Verdict.NO_VIOLATION_FOUND
    [result] = [r for r in report.results if r.rule == "ttt-pre-quant" and r.witness is Witness.SOURCE]
    assert result.outcome is Outcome.UNKNOWN and "not the one that was scored" in result.reason
