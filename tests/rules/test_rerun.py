"""The rules' checks of the re-run, on hand-made records: each finds its own fault and no other's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from auditor.core.rule import Rule, Ruled
from auditor.core.submission import Role, SourceFile, Submission
from auditor.core.types import Confidence, Outcome, Witness
from auditor.rerun.claimed import Claimed
from auditor.rerun.facts import RerunRecord, SeedEnd
from auditor.rerun.witness import facts_of
from auditor.rerun.witness_facts import RerunFacts
from rules import load_rules
from tests.rerun.judging import CLAIMED, ONE_A100, ended, finished, good, phases, record

RULES = load_rules()
CHECKED = sorted(name for name, rule in RULES.items() if rule.covers(Witness.RERUN))
RECORD = "track_10min_16mb"
CAP, TRAIN, EVAL, SCORE = "artifact-cap", "train-wallclock", "eval-wallclock", "not-reproduced"
FAULTS: list[tuple[str, dict[str, Any], str, Confidence]] = [
    (CAP, {"artifact_bytes": 16_000_001}, RECORD, Confidence.HIGH),
    (CAP, {"artifact_bytes": 15_990_000}, RECORD, Confidence.HIGH),
    (CAP, {"artifact_bytes": 16_638_468}, "track_non_record_16mb", Confidence.MEDIUM),
    (TRAIN, {"phases": phases(train=640.0)}, RECORD, Confidence.HIGH),
    (TRAIN, {"phases": phases(train=720.0), "end": SeedEnd.TIMED_OUT}, RECORD, Confidence.HIGH),
    (EVAL, {"phases": phases(evaluation=688.0)}, RECORD, Confidence.HIGH),
    (SCORE, {"bpb": 1.0963}, RECORD, Confidence.HIGH),
    (SCORE, {"bpb": 1.0640}, RECORD, Confidence.MEDIUM),
    (SCORE, {"bpb": 1.0963, "steps": 2_000}, RECORD, Confidence.MEDIUM),
    (SCORE, {"bpb": 1.0963, "steps": None}, RECORD, Confidence.MEDIUM),
]
NO_FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("in every way as claimed", {}, ""),
    ("better than claimed", {"bpb": 1.02}, ""),
    ("plain code over, packed code under", {"artifact_bytes": 15_970_000}, "15,990,000|packed"),
    ("calibration after the clock", {"phases": phases(calibration=5.0)}, "over by another"),
    ("diagnostics beside the evaluation", {"phases": phases(aside=500.0)}, "over by another"),
]


def submission(track: str | None = RECORD) -> Submission:
    from pathlib import Path

    entry = SourceFile("train_gpt.py", "print(1)\n", Role.ENTRY, 9, "0" * 64)
    return Submission(Path("."), "x", track, (), entry)


def facts(measured: RerunRecord, claimed: Claimed = CLAIMED) -> RerunFacts:
    return facts_of(measured, claimed)


def ruled(rule: str, heard: RerunFacts, track: str | None = RECORD) -> Ruled:
    return RULES[rule].check(Witness.RERUN, submission(track), heard)


def one(**changes: Any) -> RerunFacts:
    return facts(record(replace(finished(42, changes.pop("bpb", 1.0601), **changes), log="seed42.log")))


def test_these_rules_hear_the_rerun() -> None:
    assert sorted([CAP, TRAIN, EVAL, SCORE]) == CHECKED


@pytest.mark.parametrize(("rule", "changes", "track", "confidence"), FAULTS, ids=[f"{f[0]}-{f[1]}" for f in FAULTS])
def test_a_fault_is_found_by_its_own_rule_alone(
    rule: str, changes: dict[str, Any], track: str, confidence: Confidence
) -> None:
    heard = one(**changes)
    said = {name: ruled(name, heard, track) for name in CHECKED}
    assert [name for name, answer in said.items() if answer.outcome is Outcome.FOUND] == [rule], said
    assert said[rule].findings[0].confidence is confidence
    at = {SCORE: "submission.json: val_bpb"}.get(rule, "train_gpt.py")
    assert str(said[rule].findings[0].at) == at
    assert [f"{s.file}:{s.line}" for s in said[rule].findings[0].path] == ["re-run/seed42.log:10"] * (rule == SCORE)


@pytest.mark.parametrize(("name", "changes", "says"), NO_FAULTS, ids=[f[0] for f in NO_FAULTS])
def test_what_is_no_fault_is_clear(name: str, changes: dict[str, Any], says: str) -> None:
    heard = one(**changes)
    said = {rule: ruled(rule, heard) for rule in CHECKED}
    assert {answer.outcome for answer in said.values()} == {Outcome.CLEAR}, said
    assert any(word in " ".join(answer.reason for answer in said.values()) for word in says.split("|"))


@pytest.mark.parametrize("name", CHECKED)
def test_clear_only_where_it_was_measured(name: str) -> None:
    rule: Rule = RULES[name]
    assert rule.check(Witness.RERUN, submission(), facts(good())).outcome is Outcome.CLEAR
    crashed = facts(record(ended(42, SeedEnd.CRASHED)))
    assert ruled(name, crashed).outcome is Outcome.UNKNOWN
    blind = facts(record(finished(42, headline=None, phases=(), train_seconds=None, eval_seconds=None,
                                  artifact_bytes=None)))  # fmt: skip
    assert ruled(name, blind).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("bpb", [1.0, 1.06, 1.3])
def test_another_machine_says_nothing_of_seconds_and_scores(bpb: float) -> None:
    heard = facts(record(finished(42, bpb, phases=phases(train=4000.0)), hardware=ONE_A100))
    assert ruled(SCORE, heard).outcome is Outcome.UNKNOWN
    assert {ruled(rule, heard).outcome for rule in (TRAIN, EVAL)} == {Outcome.NOT_APPLICABLE}
    assert ruled(CAP, heard).outcome is Outcome.CLEAR
    over = facts(record(finished(42, bpb, artifact_bytes=17_000_000), hardware=ONE_A100))
    assert ruled(CAP, over).outcome is Outcome.FOUND


def test_budgets_are_the_record_tracks() -> None:
    late = one(phases=phases(train=900.0))
    for track in (None, "track_non_record_16mb"):
        assert ruled(TRAIN, late, track).outcome is Outcome.NOT_APPLICABLE


def test_a_seed_without_a_score_leaves_a_good_result_open_but_not_a_bad_one() -> None:
    crash = ended(7, SeedEnd.CRASHED)
    assert ruled(SCORE, facts(record(finished(42, 1.0601), crash))).outcome is Outcome.UNKNOWN
    assert ruled(SCORE, facts(record(finished(42, 1.0963), crash))).outcome is Outcome.FOUND


def test_nothing_stated_is_nothing_to_compare() -> None:
    assert ruled(SCORE, facts(good(), Claimed())).outcome is Outcome.UNKNOWN


def test_one_seed_of_many_over_the_cap_counts() -> None:
    heard = facts(record(finished(42), finished(7, artifact_bytes=16_100_000), finished(99)))
    found = ruled(CAP, heard)
    assert found.outcome is Outcome.FOUND and len(found.findings) == 1
    assert "seed 7" in found.findings[0].message
