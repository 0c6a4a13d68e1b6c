"""The planted folders end to end: every cheat is found by its question and its rule, every twin is clear of all.

One probe for each folder, shared by all assertions. Four folders run by default, the others are slow.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from auditor.behaviour.facts import HABITS, Question
from auditor.behaviour.probe import ProbeOptions, ProbeResult, probe
from auditor.behaviour.replay import replay
from auditor.behaviour.toyworld.habits import with_habits
from auditor.core.submission import Submission
from auditor.core.types import Outcome, Witness
from auditor.intake import load_submission
from auditor.sandbox import Level, detect
from rules import load_rules

pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(detect().level is Level.NONE, reason=f"nothing isolates here: {detect().reason}")

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "behaviour"
FOLDERS = sorted(str(path.parent.relative_to(FIXTURES)) for path in FIXTURES.glob("*/*/expected.json"))
QUICK = {
    "prefix-invariance/cheat_scales_on_validation", "prefix-invariance/twin_calibrate_on_train",
    "normalisation/cheat_target_boost", "normalisation/twin_temperature",
}  # fmt: skip
SHOWN = {question: min(f for f in FOLDERS if f.startswith(f"{question.value}/cheat_")) for question in Question}
"""For each question the cheat whose witness files are made twice and replayed."""
RULES = load_rules()
OPTIONS = ProbeOptions(smoke=False)


def slow(names: list[str]) -> list[Any]:
    """The folders as parameters, slow but for the quick ones."""
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow, id=name) for name in names]


@cache
def submission(name: str) -> Submission:
    return load_submission(FIXTURES / name)


@cache
def probed(name: str) -> ProbeResult:
    return probe(submission(name), OPTIONS)


def rules_found(name: str) -> set[str]:
    """The rules that answer ``found`` by this witness, but for those that name what is legal."""
    facts = probed(name).facts
    return {
        key for key, rule in RULES.items()
        if rule.ruling.value != "legal" and rule.covers(Witness.BEHAVIOUR)
        and rule.check(Witness.BEHAVIOUR, submission(name), facts).outcome is Outcome.FOUND
    }


def test_the_quick_folders_are_there() -> None:
    assert set(FOLDERS) >= QUICK


@pytest.mark.parametrize("name", slow(FOLDERS))
def test_what_was_planted_is_what_is_found(name: str) -> None:
    expected: dict[str, Any] = json.loads((FIXTURES / name / "expected.json").read_text())
    said = {question: probed(name).facts.answer(question) for question in Question}
    planted = Question(expected["question"])
    assert said[planted].outcome is Outcome(expected["outcome"]), said[planted].reason
    found = {question for question, answer in said.items() if answer.outcome is Outcome.FOUND}
    wanted = {Question(other) for other in expected["other_questions"]}
    wanted |= {planted} if expected["outcome"] == "found" else set()
    assert found == wanted, {question.value: said[question].reason for question in found ^ wanted}
    assert rules_found(name) == set(expected["rules"])
    files = [evidence.witness_file for question in found for evidence in said[question].evidence]
    assert len(files) == len(set(files)) and None not in files
    assert set(files) <= {file.name for file in probed(name).witnesses}


@pytest.mark.slow
@pytest.mark.parametrize("question", Question, ids=[question.value for question in Question])
def test_the_same_probe_twice_gives_the_same_witness_files(question: Question) -> None:
    name = SHOWN[question]
    first = {file.name: file.text for file in probed(name).witnesses}
    second = {file.name: file.text for file in probe(submission(name), OPTIONS).witnesses}
    assert any(key.startswith(question.value) for key in first)
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("question", Question, ids=[question.value for question in Question])
def test_the_witness_files_of_what_was_found_replay(question: Question) -> None:
    name = SHOWN[question]
    files = [file for file in probed(name).witnesses if file.document["question"] == question.value]
    assert files
    for file in files:
        again = replay(submission(name), file)
        assert again.reproduced, (file.name, again.problem)
        assert again.exact == bool(file.document["samples"])


@pytest.mark.slow
def test_a_finding_on_the_stream_with_habits_names_its_tokens_and_replays() -> None:
    name = "normalisation/cheat_mixed_on_hits"
    trial = probed(name).trial
    file = next(f for f in probed(name).witnesses if f.document["question"] == "normalisation")
    tokens = with_habits(trial.world).tokens
    assert file.document["stream"] == HABITS and trial.habits is not None
    assert [s["token"] for s in file.document["samples"]] == [tokens[s["position"]] for s in file.document["samples"]]
    again = replay(submission(name), file)
    assert again.reproduced and again.exact
