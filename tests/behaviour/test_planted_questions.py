"""The planted folders end to end: every cheat is found by its question and its rule, every twin is clear of all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from auditor.behaviour.facts import Question
from auditor.behaviour.probe import ProbeOptions, probe
from auditor.core.types import Outcome, Witness
from auditor.intake import load_submission
from auditor.sandbox import NoIsolation
from rules import load_rules

pytest.importorskip("torch")
FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "behaviour"
FOLDERS = sorted(path.parent for path in FIXTURES.glob("*/*/expected.json"))
RULES = load_rules()


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS, ids=[f"{f.parent.name}/{f.name}" for f in FOLDERS])
def test_what_was_planted_is_what_is_found(folder: Path) -> None:
    expected: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    submission = load_submission(folder)
    try:
        facts = probe(submission, ProbeOptions(smoke=False, varied_runs=2)).facts
    except NoIsolation as error:
        pytest.skip(str(error))
    said = {question: facts.answer(question) for question in Question}
    planted = Question(expected["question"])
    assert said[planted].outcome is Outcome(expected["outcome"]), said[planted].reason
    found = {question.value for question, answer in said.items() if answer.outcome is Outcome.FOUND}
    wanted = set(expected["other_questions"]) | ({planted.value} if expected["outcome"] == "found" else set())
    assert found <= wanted, {q: said[Question(q)].reason for q in found - wanted}
    rules = {
        name for name, rule in RULES.items()
        if rule.ruling.value != "legal" and rule.covers(Witness.BEHAVIOUR)
        and rule.check(Witness.BEHAVIOUR, submission, facts).outcome is Outcome.FOUND
    }
    assert bool(rules) == bool(expected["rules"]), rules
    assert set(expected["rules"]) <= rules, rules
