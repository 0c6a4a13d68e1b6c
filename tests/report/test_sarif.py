"""SARIF: all rules listed, levels and kinds by ruling, paths as code flows, gaps as notifications, prints that last."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from auditor.core.exhibits import Excerpt, Exhibits
from auditor.core.types import AuditReport, Confidence, Finding, Outcome, Place, RuleResult, SubmissionInfo, Witness
from auditor.report import sarif
from tests.report.sample import HOSTILE, report
from tests.report.test_any_report import SARIF


def run(of: AuditReport) -> dict[str, Any]:
    """The only run of the rendered log."""
    loaded = json.loads(sarif.render(of))
    SARIF.validate(loaded)
    [only] = loaded["runs"]
    assert isinstance(only, dict)
    return only


def by_rule(of: AuditReport, rule: str) -> list[dict[str, Any]]:
    return [result for result in run(of)["results"] if result["ruleId"] == rule]


@pytest.mark.parametrize("foreign", ["text", HOSTILE, "\udce9\x00", "x" * 5000])
def test_the_published_schema_holds(foreign: str) -> None:
    SARIF.validate(json.loads(sarif.render(report(foreign))))


def test_the_schema_refuses_planted_faults() -> None:
    good = sarif.document(report())
    assert not SARIF.is_valid({**good, "version": "2.0.0"}) and not SARIF.is_valid({**good, "runs": None})
    planted: list[tuple[str, Any]] = [
        ("level", "fatal"), ("kind", "maybe"), ("message", {}), ("locations", [{"line": 1}]),
    ]  # fmt: skip
    for key, value in planted:
        bad = json.loads(sarif.render(report()))
        bad["runs"][0]["results"][0][key] = value
        with pytest.raises(jsonschema.ValidationError):
            SARIF.validate(bad)


def test_all_rules_are_listed_with_help_whether_they_fired_or_not() -> None:
    of = report()
    rules = run(of)["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == sorted(of.rules)
    for rule in rules:
        assert f"Why {rule['id']} matters." in rule["help"]["text"]
        assert f"How to mend {rule['id']}." in rule["help"]["markdown"]
    for result in run(of)["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def test_levels_and_kinds_follow_the_ruling_and_the_confidence() -> None:
    said = {(r["ruleId"], r["properties"]["confidence"]): (r["kind"], r["level"]) for r in run(report())["results"]}
    assert said[("artifact-cap", "high")] == ("fail", "error")
    assert said[("ngram-target-key", "medium")] == ("fail", "warning")
    assert said[("slot-causal", "medium")] == ("review", "none"), "section 3.27.10: no fail, no level"
    assert said[("missing-readme", "high")] == ("fail", "note"), "form decides nothing"
    assert "ttt-score-first" not in {rule for rule, _ in said}, "an accepted pattern is no alert"


def test_what_was_not_decided_is_a_notification_and_no_result() -> None:
    told = run(report())
    [invocation] = told["invocations"]
    by = {n["associatedRule"]["id"]: n for n in invocation["toolExecutionNotifications"] if "associatedRule" in n}
    assert by["train-wallclock"]["level"] == "warning" and "no log text" in by["train-wallclock"]["message"]["text"]
    assert by["eval-wallclock"]["level"] == "error" and "ValueError text" in by["eval-wallclock"]["message"]["text"]
    assert not {r["ruleId"] for r in told["results"]} & set(by)
    assert invocation["executionSuccessful"] is False
    assert "pass" not in {r["kind"] for r in told["results"]}
    assert told["properties"]["complete"] is False
    assert told["properties"]["clear"] == ["rescore-two-pass (behaviour)", "val-coverage (record)"]


def test_an_audit_without_errors_says_that_it_was_carried_out() -> None:
    of = report()
    calm = replace(of, results=tuple(r for r in of.results if r.outcome is not Outcome.ERROR))
    assert run(calm)["invocations"][0]["executionSuccessful"] is True


def test_a_path_is_a_code_flow_that_ends_at_the_finding() -> None:
    [result] = by_rule(report(), "slot-causal")
    [flow] = result["codeFlows"]
    steps = flow["threadFlows"][0]["locations"]
    assert [step["executionOrder"] for step in steps] == list(range(1, len(steps) + 1))
    assert steps[0]["location"]["message"]["text"] == "step 1 text" and len(steps) == 20
    assert steps[-1]["location"]["physicalLocation"]["region"]["startLine"] == 12


def test_a_suppressed_finding_stays_and_says_why() -> None:
    [result] = by_rule(report(), "external-access")
    [mark] = result["suppressions"]
    assert (mark["kind"], mark["status"], mark["justification"]) == ("external", "accepted", "only data text")
    assert not [r for r in run(report())["results"] if r["ruleId"] != "external-access" and "suppressions" in r]


def test_paths_are_relative_and_escaped() -> None:
    [result] = by_rule(report(), "slot-causal")
    at = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert at == {"uri": "records/text/train_gpt.py", "uriBaseId": "%SRCROOT%"}
    odd = replace(report(), submission=SubmissionInfo("a b/ü%", None, "train_gpt.py", None))
    [result] = by_rule(odd, "slot-causal")
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "a%20b/%C3%BC%25/train_gpt.py"


@pytest.mark.parametrize("path", ["/home/someone/secret/pr", "C:\\Users\\someone\\pr", "../../someone/pr"])
def test_no_path_of_the_machine_is_in_it(path: str) -> None:
    text = sarif.render(replace(report(), submission=SubmissionInfo(path, None, "train_gpt.py", None)))
    assert "someone/" not in text and "Users" not in text and "secret" not in text
    assert '"uri": "train_gpt.py"' in text


def test_lines_of_a_packed_script_are_said_to_be_decoded() -> None:
    [packed] = by_rule(replace(report(), submission=replace(report().submission, script="train_gpt.py")), "slot-causal")
    assert "line 12 of the decoded text" in packed["message"]["text"]
    plain = replace(report(), submission=SubmissionInfo("records/x", None, "train_gpt.py", None))
    [shipped] = by_rule(plain, "slot-causal")
    assert "decoded" not in shipped["message"]["text"]


def _with(line: int, text: str, message: str = "found here") -> AuditReport:
    finding = Finding(Confidence.HIGH, message, Place(file="train_gpt.py", line=line))
    results = (RuleResult("artifact-cap", Witness.SOURCE, Outcome.FOUND, "", (finding,)),)
    return replace(report(), results=results, exhibits=Exhibits(excerpts=(Excerpt("train_gpt.py", line, (text,)),)))


def _print(of: AuditReport) -> str:
    [result] = run(of)["results"]
    print_: str = result["partialFingerprints"]["golfAuditFinding/v1"]
    return print_


def test_a_fingerprint_lasts_when_lines_move_and_changes_with_the_line() -> None:
    first = _print(_with(12, "    opt.step()"))
    assert first == _print(_with(90, "  opt.step()  ", "found here, 17 times"))
    assert first != _print(_with(12, "    other.step()"))


def test_twins_have_fingerprints_of_their_own() -> None:
    prints = [r["partialFingerprints"]["golfAuditFinding/v1"] for r in run(report())["results"]]
    assert len(set(prints)) == len(prints) == 15


def test_brackets_and_braces_of_a_submission_are_no_links_and_no_placeholders() -> None:
    [result] = run(_with(3, "x", "see [here](http://evil.example) {0}"))["results"]
    assert result["message"]["text"] == "see \\[here\\](http://evil.example) {{0}}"
