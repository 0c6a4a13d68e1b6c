"""The engine contains every failure, honours dates and suppressions, and says what it did not cover."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

import auditor.record
from auditor import engine
from auditor.core.rule import Rule, Ruled
from auditor.core.submission import Problem, Submission
from auditor.core.types import Confidence, Finding, Kind, Outcome, Place, RecordReady, Ruling, Verdict, Witness
from auditor.engine import Options, UsageError, audit_submission
from auditor.record.facts import RecordFacts, TemplateFacts
from auditor.source.facts import SourceFacts
from tests.support import make_submission

SCRIPT = "import os\nx = 1\ny = 2\n"


class _Base(Rule):
    """What it does:
    Test rule.
    """

    title = "A test rule"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "a test"
    since = "2026-03-20"
    name: ClassVar[str] = "base"

    @classmethod
    def id(cls) -> str:
        return cls.name


class Finds(_Base):
    name = "finds"

    def check_source(self, submission: Submission, facts: Any) -> Ruled:
        return Ruled.found([Finding(Confidence.HIGH, "line two", Place(file="train_gpt.py", line=2))], "found")


class Clears(_Base):
    name = "clears"

    def check_source(self, submission: Submission, facts: Any) -> Ruled:
        return Ruled.clear("looked")

    def check_record(self, submission: Submission, facts: Any) -> Ruled:
        return Ruled.clear("looked")


class Raises(_Base):
    name = "raises"

    def check_record(self, submission: Submission, facts: Any) -> Ruled:
        raise KeyError("missing")


class Traces(_Base):
    name = "traces"

    def check_trace(self, submission: Submission, facts: Any) -> Ruled:
        return Ruled.clear("never asked in this version")


@pytest.fixture
def witnesses(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[..., Any]]:
    """Replaceable witnesses: ``source``, ``record`` and ``executed``."""
    steps: dict[str, Callable[..., Any]] = {
        "source": lambda submission, executed: SourceFacts(entry="train_gpt.py"),
        "record": lambda submission: RecordFacts(ready=RecordReady(True)),
        "executed": lambda submission: {},
    }

    def source(
        submission: Submission, *, executed: Mapping[str, frozenset[int]], headline: Sequence[str] = ()
    ) -> Any:
        return steps["source"](submission, executed)

    def record(submission: Submission) -> Any:
        return steps["record"](submission)

    fake_source, fake_record = ModuleType("auditor.source"), ModuleType("auditor.record")
    fake_source.__dict__["analyse"] = source
    fake_record.__dict__["__path__"] = list(auditor.record.__path__)
    fake_record.__dict__.update(analyse=record, executed_lines=lambda submission: steps["executed"](submission))
    monkeypatch.setitem(sys.modules, "auditor.source", fake_source)
    monkeypatch.setitem(sys.modules, "auditor.record", fake_record)
    return steps


def run(
    rule: type[Rule], options: Options = engine.DEFAULTS, files: dict[str, str | bytes] | None = None, **rest: Any
) -> Any:
    return audit_submission(make_submission(files or {"train_gpt.py": SCRIPT}, **rest), options, {rule.id(): rule()})


def boom(*_: Any) -> Any:
    raise ZeroDivisionError("planted")


@pytest.mark.usefixtures("witnesses")
class TestRules:
    """What rules answer reaches the report."""

    def test_a_finding_refuses(self) -> None:
        report = run(Finds)
        assert report.verdict is Verdict.NON_COMPLIANT
        assert report.record_ready.ready is False and "verdict: non_compliant" in report.record_ready.reasons

    def test_a_rule_that_raises_is_an_error_that_names_it(self) -> None:
        report = run(Raises)
        [result] = report.results
        assert result.outcome is Outcome.ERROR and "rule raises failed: KeyError" in result.reason
        assert report.verdict is Verdict.INCONCLUSIVE and report.record_ready.ready is None

    def test_clear_everywhere(self) -> None:
        report = run(Clears)
        assert report.verdict is Verdict.NO_VIOLATION_FOUND and report.record_ready.ready is True

    def test_the_missing_behaviour_witness_is_said_and_the_audit_is_not_complete(self) -> None:
        report = run(Clears)
        assert not report.complete and any("behaviour witness did not run" in note for note in report.notes)

    def test_a_rule_for_another_witness_is_listed_as_not_applicable(self) -> None:
        [result] = run(Traces).results
        assert result.outcome is Outcome.NOT_APPLICABLE and "behaviour" in result.reason

    def test_one_witness_alone(self) -> None:
        report = run(Clears, Options(witnesses=(Witness.RECORD,)))
        assert [r.witness for r in report.results] == [Witness.RECORD]
        assert report.witnesses_run == (Witness.RECORD,)


class TestFailures:
    """A crash is never a pass."""

    @pytest.mark.parametrize("which", ["source", "record"])
    def test_a_witness_that_crashes_gives_errors_with_type_and_place(
        self, witnesses: dict[str, Callable[..., Any]], which: str
    ) -> None:
        witnesses[which] = boom
        report = run(Clears)
        outcomes = {r.witness.value: r for r in report.results}
        assert outcomes[which].outcome is Outcome.ERROR
        assert "ZeroDivisionError at test_engine.py:" in outcomes[which].reason
        assert report.verdict is Verdict.INCONCLUSIVE and len(report.witnesses_run) == 1
        assert any(f"The {which} witness failed" in note for note in report.notes)

    def test_a_witness_that_never_ends_is_an_error(self, witnesses: dict[str, Callable[..., Any]]) -> None:
        def endless(*_: Any) -> Any:
            while True:
                pass

        witnesses["record"] = endless
        report = run(Clears, Options(witness_seconds=0.1))
        assert report.verdict is Verdict.INCONCLUSIVE
        assert any("computing time" in r.reason for r in report.results)

    def test_logs_that_cannot_be_matched_leave_source_running_and_are_noted(
        self, witnesses: dict[str, Callable[..., Any]]
    ) -> None:
        witnesses["executed"] = boom
        report = run(Clears, Options(witnesses=(Witness.SOURCE,)))
        assert Witness.SOURCE in report.witnesses_run
        assert any("logs could not be matched" in note for note in report.notes)

    def test_executed_lines_reach_the_source_witness(self, witnesses: dict[str, Callable[..., Any]]) -> None:
        seen: list[Any] = []
        witnesses["executed"] = lambda submission: {"train_gpt.py": frozenset({3})}

        def source(submission: Submission, executed: Any) -> SourceFacts:
            seen.append(executed)
            return SourceFacts(entry="train_gpt.py")

        witnesses["source"] = source
        run(Clears, Options(witnesses=(Witness.SOURCE,)))
        assert seen == [{"train_gpt.py": frozenset({3})}]

    def test_the_record_witness_tells_the_source_witness_what_ran(
        self, witnesses: dict[str, Callable[..., Any]]
    ) -> None:
        seen: list[Any] = []
        ran = {"train_gpt.py": frozenset({7})}
        witnesses["record"] = lambda submission: RecordFacts(templates=TemplateFacts(executed=ran))

        def source(submission: Submission, executed: Any) -> SourceFacts:
            seen.append(executed)
            return SourceFacts(entry="train_gpt.py")

        witnesses["source"] = source
        run(Clears)
        assert seen == [ran]

    @pytest.mark.usefixtures("witnesses")
    def test_without_a_script_the_source_rules_do_not_pass(self) -> None:
        report = run(Clears, files={"README.md": "# x"})
        assert report.verdict is Verdict.INCONCLUSIVE
        assert {r.outcome for r in report.results if r.witness is Witness.SOURCE} == {Outcome.UNKNOWN}
        assert report.witnesses_run == (Witness.RECORD,)

    @pytest.mark.usefixtures("witnesses")
    def test_what_intake_could_not_read_is_noted(self) -> None:
        from dataclasses import replace

        submission = replace(
            make_submission({"train_gpt.py": SCRIPT}), problems=(Problem("big.log", "over the limit", unread=True),)
        )
        report = audit_submission(submission, Options(), {"clears": Clears()})
        assert "big.log: over the limit" in report.notes
        assert report.verdict is Verdict.INCONCLUSIVE and "big.log" in report.verdict_reason

    @pytest.mark.usefixtures("witnesses")
    def test_a_remark_on_a_file_that_was_read_decides_nothing(self) -> None:
        from dataclasses import replace

        remark = Problem("a.log", "starts with a byte order mark")
        submission = replace(make_submission({"train_gpt.py": SCRIPT}), problems=(remark,))
        report = audit_submission(submission, Options(), {"clears": Clears()})
        assert report.verdict is Verdict.NO_VIOLATION_FOUND


@pytest.mark.usefixtures("witnesses")
class TestDates:
    """Rulings hold from their date on."""

    def test_a_later_ruling_is_not_applicable_with_its_date(self) -> None:
        report = run(Finds, Options(as_of=date(2026, 3, 19)))
        [result] = report.results
        assert result.outcome is Outcome.NOT_APPLICABLE and "2026-03-20" in result.reason
        assert report.verdict is Verdict.NO_VIOLATION_FOUND and report.edition == "2026-03-19"

    def test_from_its_day_on_it_holds(self) -> None:
        assert run(Finds, Options(as_of=date(2026, 3, 20))).verdict is Verdict.NON_COMPLIANT

    def test_a_date_after_the_last_edition_is_said(self) -> None:
        report = run(Finds, Options(as_of=date(2027, 1, 1)))
        assert report.edition == "2026-05-02" and any("last edition known" in n for n in report.notes)


@pytest.mark.usefixtures("witnesses")
class TestSuppressions:
    """Suppressed findings do not decide, stay listed, and can be ignored."""

    COMMENT: ClassVar[dict[str, str | bytes]] = {
        "train_gpt.py": "import os\nx = 1  # golf-audit: allow finds seen by a person\n"
    }

    def test_a_comment(self) -> None:
        report = run(Finds, files=self.COMMENT)
        [result] = report.results
        assert report.verdict is Verdict.NO_VIOLATION_FOUND
        assert result.outcome is Outcome.FOUND and result.suppressed.reason == "seen by a person"
        assert "suppressed" in report.verdict_reason

    def test_ignored_on_request(self) -> None:
        report = run(Finds, Options(ignore_suppressions=True), files=self.COMMENT)
        assert report.verdict is Verdict.NON_COMPLIANT and any("ignored" in note for note in report.notes)

    def test_a_config_file_beside_the_script(self, tmp_path: Path) -> None:
        text = '[[allow]]\nrule = "finds"\nreason = "agreed"\n[[allow]]\nrule = "nobody"\nreason = "x"\n'
        (tmp_path / "golf-audit.toml").write_text(text)
        report = run(Finds, files={"train_gpt.py": SCRIPT, "golf-audit.toml": text}, root=tmp_path)
        assert report.verdict is Verdict.NO_VIOLATION_FOUND
        assert any("names no known rule: nobody" in note for note in report.notes)

    def test_a_broken_config_of_the_submission_is_noted_and_silences_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "golf-audit.toml").write_text("[[allow")
        report = run(Finds, files={"train_gpt.py": SCRIPT, "golf-audit.toml": "[[allow"}, root=tmp_path)
        assert report.verdict is Verdict.NON_COMPLIANT and any("not valid TOML" in note for note in report.notes)

    def test_a_linked_config_is_not_followed(self, tmp_path: Path) -> None:
        outside = tmp_path / "outside.toml"
        outside.write_text('[[allow]]\nrule = "finds"\nreason = "agreed"\n')
        root = tmp_path / "submission"
        root.mkdir()
        (root / "golf-audit.toml").symlink_to(outside)
        report = run(Finds, files={"train_gpt.py": SCRIPT, "golf-audit.toml": ""}, root=root)
        assert report.verdict is Verdict.NON_COMPLIANT

    def test_a_named_config_that_is_missing_is_wrong_usage(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"nothing\.toml cannot be read"):
            run(Finds, Options(config=tmp_path / "nothing.toml"))

    def test_an_unused_suppression_is_noted(self) -> None:
        files: dict[str, str | bytes] = {"train_gpt.py": "import os\n\n# golf-audit: allow finds elsewhere\ny = 2\n"}
        report = run(Finds, files=files)
        assert report.verdict is Verdict.NON_COMPLIANT and any("matches no finding" in n for n in report.notes)


def test_the_rerun_witness_needs_a_record() -> None:
    with pytest.raises(UsageError, match="needs the record of a re-run"):
        engine.check_witnesses((Witness.RERUN,))
    with pytest.raises(UsageError, match="at least one"):
        engine.check_witnesses(())
