"""Suppressions: a reason is mandatory, places are exact, and nothing suppressed is lost."""

from __future__ import annotations

import pytest

from auditor.core.suppress import ConfigError, apply, read_comments, read_config
from auditor.core.types import Confidence, Finding, Outcome, Place, RuleResult, Witness


def found(*places: Place, rule: str = "artifact-cap") -> RuleResult:
    findings = tuple(Finding(Confidence.HIGH, f"at {place}", place) for place in places)
    return RuleResult(rule, Witness.RECORD, Outcome.FOUND, "reason", findings)


def test_a_config_entry_silences_and_keeps_the_finding() -> None:
    allows, notes = read_config('[[allow]]\nrule = "artifact-cap"\nreason = "measured twice"\n', "golf-audit.toml")
    [result], unused = apply([found(Place(log="a.log", line=3))], allows)
    assert not notes and not unused
    assert result.suppressed is not None and result.suppressed.reason == "measured twice"
    assert len(result.findings) == 1 and result.outcome is Outcome.FOUND


@pytest.mark.parametrize("text", ["a = " + "[" * 30_000, "a = " + "9" * 9_000, "[[allow", "\0"])
def test_hostile_toml_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"golf-audit\.toml"):
        read_config(text, "golf-audit.toml")


@pytest.mark.parametrize("reason", ["", 'reason = ""\n', 'reason = "  "\n', "reason = 3\n"])
def test_without_a_reason_the_finding_stands_and_a_note_says_so(reason: str) -> None:
    allows, notes = read_config(f'[[allow]]\nrule = "artifact-cap"\n{reason}', "golf-audit.toml")
    assert allows == [] and "gives no reason" in notes[0]


def test_file_and_line_limit_a_suppression() -> None:
    text = '[[allow]]\nrule = "artifact-cap"\nreason = "r"\nfile = "a.log"\nline = 3\n'
    allows, _ = read_config(text, "golf-audit.toml")
    results, _ = apply(
        [found(Place(log="a.log", line=3), Place(log="a.log", line=4), Place(log="b.log", line=3))], allows
    )
    standing = [f.at for r in results if r.suppressed is None for f in r.findings]
    silenced = [f.at for r in results if r.suppressed for f in r.findings]
    assert [str(at) for at in silenced] == ["a.log:3"]
    assert [str(at) for at in standing] == ["a.log:4", "b.log:3"]


def test_another_rule_is_not_silenced_and_the_entry_is_unused() -> None:
    allows, _ = read_config('[[allow]]\nrule = "train-wallclock"\nreason = "r"\n', "golf-audit.toml")
    [result], unused = apply([found(Place(field="bytes_total"))], allows)
    assert result.suppressed is None and [a.rule for a in unused] == ["train-wallclock"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[allow]", "not valid TOML"),
        ("allow = 3\n", "array of tables"),
        ('[[allow]]\nreason = "r"\n', "names no rule"),
        ('[[allow]]\nrule = "a"\nreason = "r"\nline = "3"\n', "line a number"),
        ('[[allow]]\nrule = "a"\nreason = "r"\nline = true\n', "line a number"),
    ],
)
def test_a_broken_config_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"golf-audit.toml.*{says}"):
        read_config(text, "golf-audit.toml")


def comment_lines(source: str) -> list[set[int]]:
    allows, _ = read_comments({"train_gpt.py": source})
    return [set(a.lines) for a in allows]


def test_a_comment_covers_its_own_line_or_the_one_below() -> None:
    assert comment_lines("x = 1  # golf-audit: allow a-rule because\n") == [{1}]
    assert comment_lines("# golf-audit: allow a-rule because\nx = 1\n") == [{2}]
    assert comment_lines("# golf-audit: allow a-rule because\n# of this\nx = 1\ny = 2\n") == [{3}]


def test_a_comment_needs_a_rule_and_a_reason() -> None:
    for line in ("# golf-audit: allow a-rule", "# golf-audit: allow", "# golf-audit: allow a-rule   "):
        allows, notes = read_comments({"m.py": f"{line}\nx = 1\n"})
        assert allows == [] and notes[0].startswith("m.py:1:") and "no effect" in notes[0]


def test_a_comment_silences_only_its_file_and_line() -> None:
    allows, _ = read_comments({"m.py": "# golf-audit: allow artifact-cap tested\nx = 1\ny = 2\n"})
    results, _ = apply(
        [found(Place(file="m.py", line=2), Place(file="m.py", line=3), Place(file="n.py", line=2))], allows
    )
    assert [str(f.at) for r in results if r.suppressed for f in r.findings] == ["m.py:2"]


def test_clear_and_unknown_results_cannot_be_suppressed() -> None:
    allows, _ = read_config('[[allow]]\nrule = "artifact-cap"\nreason = "r"\n', "golf-audit.toml")
    unknown = RuleResult("artifact-cap", Witness.RECORD, Outcome.UNKNOWN, "no log")
    assert apply([unknown], allows)[0] == [unknown]
