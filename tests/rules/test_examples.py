"""Every rule file is held to its own examples: exactly the marked lines are reported, and nothing else."""

from __future__ import annotations

import inspect
import re
import tempfile
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import pytest

from auditor.core.rule import HEADINGS, Example, Rule, sections
from auditor.core.types import Outcome, RuleResult, Ruling, Witness
from auditor.engine import BUILT, Options, audit
from rules import load_rules

RULES = load_rules()
FOLDER = Path("records/track_10min_16mb/2026-04-01_Example")


@dataclass(frozen=True, slots=True)
class Case:
    """One example of one rule."""

    rule: str
    invalid: bool
    index: int

    @property
    def example(self) -> Example:
        """The example itself."""
        rule = RULES[self.rule]
        return (rule.INVALID if self.invalid else rule.VALID)[self.index]

    def __str__(self) -> str:
        """The test's id."""
        return (
            f"{self.rule}-{'INVALID' if self.invalid else 'VALID'}-{self.index}-{self.example.name.replace(' ', '_')}"
        )


def cases(invalid: bool) -> list[Case]:
    """All examples of all rules."""
    return [
        Case(rule_id, invalid, index)
        for rule_id, rule in RULES.items()
        for index in range(len(rule.INVALID if invalid else rule.VALID))
    ]


@cache
def results(case: Case) -> tuple[RuleResult, ...]:
    """What the engine says of the example, by this one rule, through intake and the built witnesses."""
    return audit_example(case.example, RULES[case.rule])


def audit_example(example: Example, rule: Rule) -> tuple[RuleResult, ...]:
    """Write the example as a submission folder and audit it by ``rule`` alone."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / FOLDER
        for name, text in example.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        return audit(folder, Options(), {rule.id(): rule}).results


def marked(example: Example, rule_id: str) -> set[str]:
    """The places that must be reported: lines ending in ``# [rule-id]``, and ``expect``."""
    mark = re.compile(rf"#\s*\[{re.escape(rule_id)}\]\s*$")
    lines = {
        f"{path}:{number}"
        for path, text in example.files.items()
        for number, line in enumerate(text.splitlines(), 1)
        if mark.search(line)
    }
    return lines | set(example.expect)


def reported(found: tuple[RuleResult, ...]) -> set[str]:
    """The places of all findings."""
    return {str(f.at) for result in found for f in result.findings}


def check(case: Case) -> None:
    """Exact lines: what is marked is reported and nothing else is."""
    example, found = case.example, results(case)
    said = [(r.witness.value, r.outcome.value, r.reason) for r in found]
    assert not [r for r in found if r.outcome is Outcome.ERROR], said
    expected = set() if example.misses else marked(example, case.rule)
    assert reported(found) == expected, said
    if example.outcome is not None:
        assert example.outcome in {r.outcome for r in found}, said


@pytest.mark.parametrize("case", cases(invalid=True), ids=str)
def test_invalid(case: Case) -> None:
    check(case)
    example = case.example
    assert example.misses or example.outcome or marked(example, case.rule), "an INVALID example marks no line"


@pytest.mark.parametrize("case", cases(invalid=False), ids=str)
def test_valid(case: Case) -> None:
    check(case)
    example = case.example
    assert not marked(example, case.rule), "a VALID example marks a line"
    outcomes = {r.outcome for r in results(case)}
    assert example.outcome or outcomes != {Outcome.UNKNOWN}, "nothing was decided"


@pytest.mark.parametrize("rule_id", RULES)
def test_the_file_says_everything(rule_id: str) -> None:
    rule = RULES[rule_id]
    parts = sections(inspect.getdoc(type(rule)) or "")
    legal = rule.ruling is Ruling.LEGAL
    wanted = [h.replace("not allowed", "allowed") if legal and "not allowed" in h else h for h in HEADINGS]
    assert [h for h in wanted if not parts.get(h)] == [], "missing or empty headings"
    assert rule.title and rule.authority
    date.fromisoformat(rule.since)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule_id)


@pytest.mark.parametrize("rule_id", RULES)
def test_every_covered_witness_is_shown_finding_and_clearing(rule_id: str) -> None:
    rule = RULES[rule_id]
    elsewhere = (Witness.RERUN, Witness.BEHAVIOUR)  # shown in test_rerun.py and test_trace.py, on facts
    covered = {w for w in Witness if w not in elsewhere and w in BUILT and rule.covers(w)}
    assert covered or any(rule.covers(w) for w in elsewhere), "the rule checks nothing"
    finds = {
        r.witness for c in cases(invalid=True) if c.rule == rule_id for r in results(c) if r.outcome is Outcome.FOUND
    }
    assert covered <= finds, f"no INVALID example is found by {sorted(covered - finds)}"
    passed = (Outcome.CLEAR, Outcome.NOT_APPLICABLE)
    clears = {r.witness for c in cases(invalid=False) if c.rule == rule_id for r in results(c) if r.outcome in passed}
    assert covered <= clears, f"no VALID example is passed by {sorted(covered - clears)}"


def test_example_names_are_unique_within_a_rule() -> None:
    for rule_id, rule in RULES.items():
        names = [e.name for e in (*rule.VALID, *rule.INVALID)]
        assert len(names) == len(set(names)), rule_id
