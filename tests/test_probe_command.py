"""Behaviour in the engine and ``golf-audit probe``: outcomes, exit codes, silence that is no pass, interruption."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from auditor import cli, engine, engine_probe
from auditor.behaviour import audit as behaviour
from auditor.behaviour.audit import Heard, Request
from auditor.behaviour.facts import Question, TraceFacts
from auditor.core.rule import Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Confidence, Finding, Kind, Outcome, Place, Ruling, Verdict, Witness
from tests.behaviour.planted import facts
from tests.support import heeds_interrupts, make_submission

ROOT = Path(__file__).resolve().parent.parent
HONEST = ROOT / "fixtures/submissions/honest_baseline/records/track_10min_16mb/2026-03-25_HonestBaseline"
ALL = (Witness.SOURCE, Witness.RECORD, Witness.BEHAVIOUR)
SCRIPT = "import os\nx = 1\n"


class Ask(Rule):
    """What it does:
    Finds what prefix invariance found.
    """

    title = "A test rule"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "a test"
    since = "2026-03-20"
    seen: ClassVar[list[object]] = []

    @classmethod
    def id(cls) -> str:
        return "ask"

    def check_trace(self, submission: Submission, facts: Any) -> Ruled:
        self.seen.append(facts)
        answer = facts.answer(Question.PREFIX_INVARIANCE)
        if answer.outcome is Outcome.FOUND:
            return Ruled.found([Finding(Confidence.HIGH, "moved", Place(file="train_gpt.py", line=2))], answer.reason)
        return Ruled(answer.outcome, answer.reason)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that can run the witness."""
    monkeypatch.setattr(behaviour, "why_not", lambda unsandboxed: "")


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, here: None) -> Callable[[TraceFacts], list[Request]]:
    """Make the witness say ``facts``; the requests that it got."""
    requests: list[Request] = []

    def plant(told: TraceFacts) -> list[Request]:
        def listen(submission: Submission, request: Request) -> Heard:
            requests.append(request)
            return Heard(told, ("w/prefix-invariance-1.json",) if request.witness_dir else ())

        monkeypatch.setattr(behaviour, "listen", listen)
        return requests

    return plant


Plant = Callable[[TraceFacts], list[Request]]


def audited(witnesses: tuple[Witness, ...] = (Witness.BEHAVIOUR,), **more: Any) -> Any:
    options = engine.Options(witnesses=witnesses, **more)
    return engine.audit_submission(make_submission({"train_gpt.py": SCRIPT}), options, {"ask": Ask()})


class TestEngine:
    """The behaviour witness in an audit."""

    def test_the_rules_get_the_facts(self, planted: Plant) -> None:
        told = facts(Outcome.FOUND)
        planted(told)
        report = audited()
        assert Ask.seen[-1] is told and report.verdict is Verdict.NON_COMPLIANT
        assert report.witnesses_run == (Witness.BEHAVIOUR,) and not report.behaviour.not_run
        assert report.behaviour.smoke.parameters == 27_030_107 and report.behaviour.attempts == 2

    @pytest.mark.parametrize("outcome", [Outcome.CLEAR, Outcome.UNKNOWN, Outcome.ERROR])
    def test_other_outcomes(self, outcome: Outcome, planted: Plant) -> None:
        planted(facts(outcome))
        expected = Verdict.NO_VIOLATION_FOUND if outcome is Outcome.CLEAR else Verdict.INCONCLUSIVE
        assert audited().verdict is expected

    def test_all_three_witnesses_make_it_complete(self, planted: Plant) -> None:
        planted(facts())
        report = audited(ALL)
        assert report.verdict is Verdict.NO_VIOLATION_FOUND and report.complete is True
        assert not any("did not run" in note for note in report.notes)

    def test_the_claimed_lines_and_the_options_are_handed_on(self, planted: Plant, tmp_path: Path) -> None:
        requests = planted(facts())
        report = audited(unsandboxed=True, witness_dir=tmp_path, run_seconds=9.0)
        [request] = requests
        assert request.unsandboxed and request.witness_dir == tmp_path and request.run_seconds == 9.0
        assert report.behaviour.witness_files == ("w/prefix-invariance-1.json",)

    def test_a_witness_that_was_asked_for_and_cannot_run_is_no_pass(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(behaviour, "why_not", lambda unsandboxed: "torch is not installed (pip install x)")
        report = audited(ALL)
        assert (
            report.verdict is Verdict.INCONCLUSIVE
            and not report.complete
            and Witness.BEHAVIOUR not in report.witnesses_run
        )
        [result] = report.results
        assert result.outcome is Outcome.UNKNOWN and "pip install" in result.reason
        assert any("did not run: torch is not installed" in note for note in report.notes)

    def test_a_crash_of_the_witness_is_an_error_and_no_pass(self, monkeypatch: pytest.MonkeyPatch, here: None) -> None:
        def boom(*_: object) -> None:
            raise ZeroDivisionError("planted")

        monkeypatch.setattr(behaviour, "listen", boom)
        report = audited(ALL)
        assert report.verdict is Verdict.INCONCLUSIVE and not report.complete
        assert [r.outcome for r in report.results] == [Outcome.ERROR] and "planted" in report.behaviour.not_run

    def test_without_a_script_nothing_runs(self, planted: Plant) -> None:
        requests = planted(facts())
        submission = make_submission({"README.md": "nothing"})
        report = engine.audit_submission(submission, engine.Options(witnesses=ALL), {"ask": Ask()})
        assert requests == [] and report.verdict is Verdict.INCONCLUSIVE

    def test_the_library_runs_nothing_unless_asked(self, planted: Plant) -> None:
        requests = planted(facts())
        report = engine.audit_submission(make_submission({"train_gpt.py": SCRIPT}), rules={"ask": Ask()})
        assert requests == [] and not report.complete and report.behaviour.not_run == "it was not asked for"
        assert report.behaviour.smoke.code_bytes == len(SCRIPT)


def test_evidence_names_only_files_that_were_written() -> None:
    told = facts(Outcome.FOUND)

    def names(written: tuple[str, ...]) -> list[str | None]:
        answer = behaviour.located(told, written).answer(Question.PREFIX_INVARIANCE)
        return [one.witness_file for one in answer.evidence]

    assert names(("dir/prefix-invariance-1.json", "dir/other.json")) == ["dir/prefix-invariance-1.json"]
    assert names(()) == [None]


class TestUsual:
    """Which witnesses a plain ``golf-audit PR_DIR`` hears."""

    def test_three_where_it_can_run(self, here: None) -> None:
        assert engine.usual_witnesses() == (ALL, "")

    def test_two_and_the_reason_where_it_cannot(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(behaviour, "why_not", lambda unsandboxed: "no torch")
        assert engine.usual_witnesses() == (ALL[:2], "no torch")

    def test_why_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from auditor import sandbox

        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
        none = sandbox.Detection(sandbox.Level.NONE, "bubblewrap is not installed", "apt-get install bubblewrap")
        monkeypatch.setattr(sandbox, "detect", lambda: none)
        reason = behaviour.why_not(False)
        assert "bubblewrap is not installed" in reason and "--unsandboxed" in reason and "apt-get" in reason
        assert behaviour.why_not(True) == ""
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        assert behaviour.why_not(True) == behaviour.INSTALL_TORCH

    def test_the_command_hears_three_and_no_probe_two(self, planted: Plant, capsys: pytest.CaptureFixture[str]) -> None:
        requests = planted(facts())
        documents = []
        for extra in ([], ["--no-probe"]):
            with pytest.raises(SystemExit):
                cli.main([str(HONEST), "--format", "json", *extra])
            documents.append(json.loads(capsys.readouterr().out))
        full, read = documents
        assert len(requests) == 1 and requests[0].stated, "the line of the claimed score goes to the probe"
        assert full["witnesses_run"] == ["source", "record", "behaviour"] and read["complete"] is False
        assert read["witnesses_run"] == ["source", "record"] and read["smoke"]["not_run"] == "--no-probe was given"
        assert any("--no-probe was given" in note for note in read["notes"])


def probe(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main(["probe", str(HONEST), *arguments])
    return int(stop.value.code or 0)


class TestCommand:
    """``golf-audit probe`` over planted facts."""

    @pytest.fixture(autouse=True)
    def _one_rule(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import rules

        monkeypatch.setattr(rules, "load_rules", lambda: {"ask": Ask()})

    @pytest.mark.parametrize(
        ("told", "code"),
        [
            (facts(Outcome.FOUND), 1), (facts(Outcome.CLEAR), 0), (facts(Outcome.UNKNOWN), 11),
            (facts(Outcome.ERROR), 11), (facts(reached=False), 11),
        ],
    )  # fmt: skip
    def test_exit_codes(self, told: TraceFacts, code: int, planted: Plant, capsys: pytest.CaptureFixture[str]) -> None:
        planted(told)
        assert probe() == code
        out = capsys.readouterr().out
        assert "\x1b" not in out and max(map(len, out.splitlines())) <= 80 and "Questions" in out

    def test_what_no_rule_rules_on_is_for_review(self, planted: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
        import rules

        monkeypatch.setattr(rules, "load_rules", dict)
        planted(facts(Outcome.FOUND))
        assert probe() == 10
        planted(facts(Outcome.UNKNOWN))
        assert probe() == 11

    def test_a_machine_that_cannot_refuses(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(behaviour, "why_not", lambda unsandboxed: "nothing isolates (or --unsandboxed)")
        assert probe() == 2
        out, err = capsys.readouterr()
        assert out == "" and "the submission was not run: nothing isolates" in err and err.count("\n") == 1

    def test_json_is_alone_on_stdout(self, planted: Plant, capsys: pytest.CaptureFixture[str]) -> None:
        planted(facts(Outcome.FOUND))
        assert probe("--format", "json", "--witness-dir", "w") == 1
        document = json.loads(capsys.readouterr().out)
        assert document["verdict"] == "non_compliant" and document["witness_files"]

    def test_progress_is_plain_lines_when_piped(
        self, monkeypatch: pytest.MonkeyPatch, here: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def listen(submission: Submission, request: Request) -> Heard:
            assert request.on_progress is not None
            for share in (None, 0.2, 0.4):
                request.on_progress("run A", share)
            request.on_progress("run B\x1b[2J", 0.7)
            return Heard(facts())

        monkeypatch.setattr(behaviour, "listen", listen)
        assert probe() == 0
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 2 and lines[0].endswith(": run A") and "\x1b" not in "".join(lines)

    def test_help_states_the_codes(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
        command = [sys.executable, "-m", "auditor.cli", "probe", "--help"]
        text = " ".join(
            subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.split()
        )
        for wanted in ("--replay", "--witness-dir", "--unsandboxed", "--no-timeline", "1 the finding shows again",
                       "0 it does not", "11 the runs could not be made"):  # fmt: skip
            assert wanted in text, wanted


def test_the_answers_are_never_made_milder() -> None:
    for verdict in Verdict:
        assert engine_probe.at_least(verdict, facts(Outcome.FOUND)) in (Verdict.NON_COMPLIANT, Verdict.NEEDS_REVIEW)
        for open_ in (facts(Outcome.UNKNOWN), facts(Outcome.ERROR), facts(reached=False), TraceFacts(reached=True)):
            assert engine_probe.at_least(verdict, open_) is not Verdict.NO_VIOLATION_FOUND


ENDLESS = 'print("started", flush=True)\nwhile True:\n    pass\n'


def test_an_interrupt_kills_the_guest(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    if behaviour.why_not(False):
        pytest.skip(behaviour.why_not(False))
    folder = tmp_path / "records" / "track_10min_16mb" / "2026-04-01_Endless"
    folder.mkdir(parents=True)
    (folder / "train_gpt.py").write_text(ENDLESS)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}
    command = [sys.executable, "-m", "auditor.cli", "probe", str(folder)]
    process = subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=heeds_interrupts,
    )  # fmt: skip
    assert process.stderr is not None and "run A" in process.stderr.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and out == "" and errors == "golf-audit: interrupted\n"
    assert list(scratch.iterdir()) == [], "the scratch folder is gone"
    assert not [line for line in _commands() if str(scratch) in line], "a process of the guest lives on"


def _commands() -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(place.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found
