"""The fourth witness in an audit: a record that bears out, one that refutes, and those that are not believed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditor.core.types import AuditReport, Outcome, Verdict, Witness
from auditor.engine import Options, UsageError, audit_submission, check_witnesses
from auditor.rerun.facts import MeasuredScore, SeedEnd
from tests.rerun.judging import ONE_A100, TOY, ended, phases
from tests.rerun.on_disk import BASELINE, STATED, runs, submission, write

RULES = ("artifact-cap", "eval-wallclock", "not-reproduced", "train-wallclock")


def audited(folder: Path, *, heard: bool = True) -> AuditReport:
    options = Options(witnesses=(Witness.RECORD,), rerun_record=folder if heard else None)
    return audit_submission(submission(), options)


def said(report: AuditReport) -> dict[str, Outcome]:
    return {r.rule: r.outcome for r in report.results if r.witness is Witness.RERUN}


def reasons(report: AuditReport) -> str:
    return " | ".join(r.reason for r in report.results if r.witness is Witness.RERUN)


def test_a_record_that_bears_the_claim_out(tmp_path: Path) -> None:
    write(tmp_path, runs(STATED))
    plain, report = audited(tmp_path, heard=False), audited(tmp_path)
    assert said(report) == dict.fromkeys(RULES, Outcome.CLEAR)
    assert Witness.RERUN in report.witnesses_run
    assert report.verdict is plain.verdict is Verdict.NO_VIOLATION_FOUND
    assert plain.rerun is None and report.rerun is not None
    assert report.rerun.outcome == "reproduced" and report.rerun.machine == "8 x NVIDIA H100 80GB HBM3"
    assert [(s.seed, s.measured) for s in report.rerun.seeds] == [(s, STATED) for s in (42, 1337, 2025)]
    claims = {claim.kind: claim for claim in report.claims}
    assert claims["val_bpb"].measured == pytest.approx(STATED)
    assert "re-run, mean of 3 seeds" in str(claims["val_bpb"].how)
    assert "the record gives" in str(claims["bytes_total"].how)
    assert claims["bytes_total"].measured == 15_413_287
    assert claims["val_bpb_seed_42"].where.field == "seed_results"
    assert claims["steps"].stated == claims["steps"].measured == 13_587 and claims["steps"].where.log is not None
    assert {claim.kind for claim in plain.claims} < set(claims)


def test_without_a_record_the_rule_asks_nothing(tmp_path: Path) -> None:
    report = audited(tmp_path, heard=False)
    [result] = [r for r in report.results if r.rule == "not-reproduced"]
    assert result.outcome is Outcome.NOT_APPLICABLE and "only the rerun witness" in result.reason


def test_a_far_worse_score_refuses(tmp_path: Path) -> None:
    write(tmp_path, runs(STATED + 0.036))
    report = audited(tmp_path)
    assert report.verdict is Verdict.NON_COMPLIANT and "not-reproduced" in report.verdict_reason
    [result] = [r for r in report.results if r.rule == "not-reproduced"]
    assert result.findings[0].confidence == "high"
    assert str(result.findings[0].at) == "submission.json: val_bpb"
    assert [f"{s.file}:{s.line}" for s in result.findings[0].path] == [
        "re-run/seed42.log:10", "re-run/seed1337.log:10", "re-run/seed2025.log:10"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("gap", "steps"), [(0.004, 13_587), (0.036, 5_500)], ids=["a little worse", "far worse, with fewer steps"]
)
def test_what_an_environment_may_explain_goes_to_review(tmp_path: Path, gap: float, steps: int) -> None:
    write(tmp_path, runs(STATED + gap, steps=steps))
    report = audited(tmp_path)
    assert report.verdict is Verdict.NEEDS_REVIEW
    [result] = [r for r in report.results if r.rule == "not-reproduced"]
    assert result.findings[0].confidence == "medium" and "environment" in result.findings[0].message


def test_over_the_cap_and_over_time(tmp_path: Path) -> None:
    write(tmp_path, [replace(run, artifact_bytes=16_400_000) for run in runs(STATED, phases=phases(train=640.0))])
    report = audited(tmp_path)
    assert report.verdict is Verdict.NON_COMPLIANT
    assert said(report) == {
        "artifact-cap": Outcome.FOUND, "train-wallclock": Outcome.FOUND, "eval-wallclock": Outcome.CLEAR,
        "not-reproduced": Outcome.CLEAR,
    }  # fmt: skip


def test_killed_at_the_limit_is_over_time(tmp_path: Path) -> None:
    late = replace(runs(STATED, (42,), phases=phases(train=720.0))[0], end=SeedEnd.TIMED_OUT, headline=None)
    write(tmp_path, [late])
    outcomes = said(audited(tmp_path))
    assert outcomes["train-wallclock"] is Outcome.FOUND
    assert outcomes["not-reproduced"] is Outcome.UNKNOWN


def test_a_crash_decides_nothing(tmp_path: Path) -> None:
    write(tmp_path, [*runs(STATED, (42,)), replace(ended(1337, SeedEnd.CRASHED, "KeyError"), log="seed1337.log")])
    report = audited(tmp_path)
    assert said(report)["not-reproduced"] is Outcome.UNKNOWN and "1337" in reasons(report)
    assert report.verdict is Verdict.INCONCLUSIVE


def test_another_machine_neither_confirms_nor_refutes(tmp_path: Path) -> None:
    write(tmp_path, runs(STATED + 0.2, phases=phases(train=3000.0)), hardware=ONE_A100)
    report = audited(tmp_path)
    assert said(report) == {
        "artifact-cap": Outcome.CLEAR, "not-reproduced": Outcome.UNKNOWN, "train-wallclock": Outcome.NOT_APPLICABLE,
        "eval-wallclock": Outcome.NOT_APPLICABLE,
    }  # fmt: skip
    assert report.verdict is Verdict.INCONCLUSIVE


def _lie(run: Any) -> Any:
    """A better score than the raw log states."""
    return replace(run, headline=MeasuredScore("final_exact", STATED - 0.1, None, 10, run.headline.seconds))


def _break(folder: Path) -> None:
    """Put a text where a number belongs."""
    path = folder / "record.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["run"]["artifact_bytes"] = "15400000"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _nan(folder: Path) -> None:
    """NaN, which JSON does not have but Python's reader takes."""
    path = folder / "record.jsonl"
    path.write_text(path.read_text().replace('"eval_seconds": 300.0', '"eval_seconds": NaN'))


def _no_log(folder: Path) -> None:
    (folder / "seed42.log").unlink()


def _linked_log(folder: Path) -> None:
    (folder / "seed42.log").rename(folder / "other.log")
    (folder / "seed42.log").symlink_to(folder / "other.log")


def _shorter_log(folder: Path) -> None:
    (folder / "seed42.log").write_text("nothing\n")


def _headless(folder: Path) -> None:
    path = folder / "record.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[1:]) + "\n")


def _garbage(folder: Path) -> None:
    (folder / "record.jsonl").write_bytes(b"\x00\xff" * 1000)


def _other_artifact(folder: Path) -> None:
    """The artifact that the run left is larger than the record says."""
    (folder / "seed42").mkdir()
    (folder / "seed42" / "final_model.ptz").write_bytes(bytes(20))


def _later_form(folder: Path) -> None:
    path = folder / "record.jsonl"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))


def _piped_log(folder: Path) -> None:
    (folder / "seed42.log").unlink()
    os.mkfifo(folder / "seed42.log")


BAD_FILES = [(_other_artifact, "has 20 bytes, the record gives"), (_later_form, "its form is 2"),
             (_piped_log, "raw log"),
             (_break, "not of a re-run's record"), (_nan, "damaged"), (_no_log, "raw log"), (_linked_log, "raw log"),
             (_shorter_log, "does not state"), (_headless, "has no head"), (_garbage, "has no head")]  # fmt: skip


@pytest.mark.parametrize(("spoil", "says"), BAD_FILES, ids=[f.__name__.strip("_") for f, _ in BAD_FILES])
def test_a_damaged_or_forged_record_says_nothing(tmp_path: Path, spoil: Any, says: str) -> None:
    write(tmp_path, runs(STATED))
    spoil(tmp_path)
    report = audited(tmp_path)
    assert said(report) == dict.fromkeys(RULES, Outcome.UNKNOWN)
    assert says in reasons(report)
    assert report.verdict is Verdict.INCONCLUSIVE and Witness.RERUN not in report.witnesses_run
    assert report.claims == audited(tmp_path, heard=False).claims


def test_a_score_that_the_raw_log_does_not_state(tmp_path: Path) -> None:
    made = runs(STATED)
    write(tmp_path, made)
    folder = tmp_path / "forged"
    write(folder, [_lie(run) for run in made])
    for run in made:
        (folder / run.log).write_bytes((tmp_path / run.log).read_bytes())
    report = audited(folder)
    assert said(report) == dict.fromkeys(RULES, Outcome.UNKNOWN)
    assert "does not state the score" in reasons(report)


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"sha": "f" * 64}, "another script"), ({"sha": ""}, "another script"), ({"hardware": TOY}, "toy scale"),
     ({"settings": ()}, "other settings.*TRAIN_BATCH_TOKENS is not set"),
     ({"settings": (("TTT_ENABLED", "1", "x"),)}, "other settings"),
     ({"harness_error": "disk full"}, "holds no run|measured nothing"), ({"setup_error": "x"}, "measured nothing")],
)  # fmt: skip
def test_a_record_that_is_not_of_this_claim(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    import re

    from auditor.rerun.record import Writer

    errors = {key: changes.pop(key) for key in ("harness_error", "setup_error") if key in changes}
    write(tmp_path, runs(STATED), **changes)
    writer = Writer(tmp_path)
    for event, text in errors.items():
        writer.write(event, text=text)
    writer.close()
    report = audited(tmp_path)
    assert said(report) == dict.fromkeys(RULES, Outcome.UNKNOWN)
    assert re.search(says, reasons(report))
    assert report.verdict is Verdict.INCONCLUSIVE


def test_a_record_never_makes_a_verdict_milder(tmp_path: Path) -> None:
    """A submission that is refused for its code stays refused, whatever its score does."""
    from auditor.intake import load_submission

    bad = load_submission(next((BASELINE.parent / "prequant_ttt").glob("records/*/*")))
    assert bad.entry is not None
    write(tmp_path, runs(1.0), sha=bad.entry.sha256)
    report = audit_submission(bad, Options(rerun_record=tmp_path))
    assert report.verdict is Verdict.NON_COMPLIANT


def test_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--rerun-record DIR"):
        check_witnesses((Witness.RERUN,))
    with pytest.raises(UsageError, match="holds no record of a re-run"):
        check_witnesses((Witness.SOURCE,), tmp_path)


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The command in this process: exit code and both streams."""
    from auditor.cli import main

    with pytest.raises(SystemExit) as end:
        main(["audit", str(BASELINE), "--witness", "record", *words])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def test_the_command_shows_stated_against_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "record", runs(STATED + 0.036))
    out, comment = tmp_path / "report.json", tmp_path / "report.md"
    formats = ("--format", f"json={out}", "--format", f"markdown={comment}", "--format", "text")
    code, text, err = command(capsys, "--rerun-record", str(tmp_path / "record"), *formats)
    assert code == 1, err
    assert "1.2633177" in text and max(len(line) for line in text.splitlines()) <= 80
    said = comment.read_text()
    assert "measured `1.2633177`" in said and "stated `1.2273177`" in said and "not-reproduced" in said
    document = json.loads(out.read_text())
    [claim] = [c for c in document["claims"] if c["kind"] == "val_bpb"]
    assert claim["stated"] == STATED and claim["measured"] == pytest.approx(STATED + 0.036)
    assert "rerun" in document["witnesses_run"]


def test_every_format_shows_the_rerun(tmp_path: Path) -> None:
    import jsonschema

    from auditor.report import html, markdown, rerun, terminal
    from auditor.report import json as machine

    write(tmp_path, runs(STATED + 0.004, (42, 7)))
    report = audited(tmp_path)
    document = machine.document(report)
    jsonschema.validate(document, machine.schema())
    assert rerun.read(json.loads(json.dumps(document["rerun"]))) == report.rerun
    assert machine.document(audited(tmp_path, heard=False))["rerun"] is None
    for text in (terminal.render(report, width=400), markdown.render(report), html.render(report)):
        plainly = text.replace("\\", "")
        assert "Re-run of 2026-05-03 on 8 x NVIDIA H100 80GB HBM3: not_reproduced." in plainly
        assert "seed 42: finished, 1.23132 measured, 1.22740 stated (+0.00392)" in plainly.replace("&#43;", "+")


def test_the_command_names_a_folder_without_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, "--rerun-record", str(tmp_path))
    assert (code, out) == (2, "") and "holds no record of a re-run" in err
