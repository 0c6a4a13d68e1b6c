"""Workflow commands: the most important first, nothing of a submission outside its annotation."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.core.types import AuditReport, Confidence, Finding, Outcome, Place, RuleResult, SubmissionInfo, Verdict
from auditor.core.types import Witness as W
from auditor.report import github, terminal
from auditor.report.github import command
from tests.report.sample import HOSTILE, report
from tests.report.test_any_report import check_github

MATCHER = Path(__file__).resolve().parents[2] / "action/problem-matcher.json"


def lines(of: AuditReport) -> list[str]:
    check_github(of)
    return github.render(of).splitlines()


def test_the_summary_comes_first_and_says_the_verdict_and_the_counts() -> None:
    first = lines(report())[0]
    assert first.startswith("::error title=golf-audit%3A NON-COMPLIANT::")
    assert "The audit is not complete" in first and "1 suppressed" in first and "ruled illegal" in first


def test_a_quiet_but_incomplete_audit_is_a_warning_and_a_complete_one_a_notice() -> None:
    quiet = replace(report(verdict=Verdict.NO_VIOLATION_FOUND), results=())
    assert lines(quiet)[0].startswith("::warning ")
    assert lines(replace(quiet, complete=True))[0].startswith("::notice ")
    assert lines(replace(quiet, verdict=Verdict.INCONCLUSIVE, complete=True))[0].startswith("::warning ")


def test_the_first_finding_of_each_rule_stands_before_the_second_of_any() -> None:
    titles = [found[1] for line in lines(report()) if (found := re.search(r"title=([a-z-]+) \(", line))]
    assert titles[:3] == ["artifact-cap", "ngram-target-key", "rescore-two-pass"]
    assert titles.index("missing-readme") == len(titles) - 1, "form comes last"
    assert titles.count("artifact-cap") == 9 and "ttt-score-first" not in titles and "external-access" not in titles


def test_levels_follow_the_ruling() -> None:
    said = {(m[2], m[1]) for line in lines(report()) if (m := re.match(r"::(\w+) .*?title=([a-z-]+) \(", line))}
    assert {("artifact-cap", "error"), ("slot-causal", "warning"), ("missing-readme", "notice")} <= said


def test_what_is_not_decided_is_a_warning() -> None:
    gaps = [line for line in lines(report()) if "title=golf-audit%3A not decided" in line or "check failed" in line]
    assert len(gaps) == 2 and all(line.startswith("::warning ") for line in gaps)


def test_places_are_those_of_the_repository() -> None:
    plain = replace(report(), submission=SubmissionInfo("records/x", None, "train_gpt.py", None))
    [line] = [line for line in lines(plain) if "slot-causal" in line]
    assert "file=records/x/train_gpt.py,line=12,endLine=14," in line and ",col=" not in line


def test_a_packed_script_is_annotated_at_its_first_line_and_says_which_is_meant() -> None:
    packed = replace(report(), submission=replace(report().submission, script="train_gpt.py"))
    [line] = [line for line in lines(packed) if "slot-causal" in line]
    assert ",line=1," in line and "endLine" not in line and "line 12 of the decoded text" in line


def test_escaping() -> None:
    assert command("error", "50% a\r\nb", title="a:b,c%") == "::error title=a%3Ab%2Cc%25::50%25 a b"
    assert command("notice", "x", file=None, line=3) == "::notice line=3::x"


def test_a_hostile_submission_starts_no_command() -> None:
    foreign = HOSTILE + "\n::error::owned\r::set-output name=a::b%0A::stop-commands::x"
    for line in lines(report(foreign)):
        assert line.startswith(("::error", "::warning", "::notice")) and "\x1b" not in line
    assert len(lines(report(foreign))) == len(lines(report()))


def test_more_than_ten_of_a_level_are_said_to_be_cut() -> None:
    finding = Finding(Confidence.HIGH, "over", Place(log="a.log", line=1))
    many = replace(report(), results=(RuleResult("artifact-cap", W.RECORD, Outcome.FOUND, "", (finding,) * 11),))
    assert "Only the first 10 of a level are shown (error)" in lines(many)[0]
    few = replace(many, results=(RuleResult("artifact-cap", W.RECORD, Outcome.FOUND, "", (finding,) * 10),))
    assert "Only the first" not in lines(few)[0]


def matches(text: str) -> list[dict[str, str]]:
    [matcher] = json.loads(MATCHER.read_text(encoding="utf-8"))["problemMatcher"]
    [pattern] = matcher["pattern"]
    names = {name: group for name, group in pattern.items() if name != "regexp"}
    found = (re.match(pattern["regexp"], line) for line in text.splitlines())
    return [{name: one[group] for name, group in names.items()} for one in found if one]


def test_the_problem_matcher_reads_the_text_report() -> None:
    seen = matches(terminal.render(report(), width=80))
    assert {"file": "train_gpt.py", "line": "12", "code": "medium", "message": "delta text"} in seen
    assert any(one["file"] == "text.log" and one["line"] == "7" for one in seen)
    assert not [one for one in seen if one["message"].startswith("step ")], "steps of a path are no problems"


@pytest.mark.parametrize("line", ["train_gpt.py:12  [high] x", "  train_gpt.py  [high] x", "    a.py:3  [low] x"])
def test_the_problem_matcher_passes_other_lines_by(line: str) -> None:
    assert not matches(line)
