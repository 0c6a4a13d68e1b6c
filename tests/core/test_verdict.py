"""The verdict's full table: every outcome, confidence, ruling, kind and witness combination, against explicit rows."""

from __future__ import annotations

import itertools

import pytest

from auditor.core.types import (
    Confidence,
    Finding,
    Kind,
    Outcome,
    Place,
    RuleMeta,
    RuleResult,
    Ruling,
    Suppression,
    Verdict,
    Witness,
)
from auditor.core.verdict import FULL, judge

SOURCE, RECORD, BEHAVIOUR, RERUN = Witness.SOURCE, Witness.RECORD, Witness.BEHAVIOUR, Witness.RERUN
BAD, REVIEW, OPEN, NONE = (
    Verdict.NON_COMPLIANT,
    Verdict.NEEDS_REVIEW,
    Verdict.INCONCLUSIVE,
    Verdict.NO_VIOLATION_FOUND,
)

STATES = ["found-high", "found-medium", "found-low", "clear", "unknown", "not_applicable", "error"]

# What one witness's answer means, by ruling, for integrity and limit rules. Form rules: NONE, always.
TABLE = {
    #                  illegal  disputed unruled  legal
    "found-high":     (BAD,     REVIEW,  REVIEW,  NONE),
    "found-medium":   (REVIEW,  REVIEW,  REVIEW,  NONE),
    "found-low":      (REVIEW,  REVIEW,  REVIEW,  NONE),
    "clear":          (NONE,    NONE,    NONE,    NONE),
    "unknown":        (OPEN,    OPEN,    OPEN,    NONE),
    "not_applicable": (NONE,    NONE,    NONE,    NONE),
    "error":          (OPEN,    OPEN,    OPEN,    NONE),
}  # fmt: skip
COLUMN = {Ruling.ILLEGAL: 0, Ruling.DISPUTED: 1, Ruling.UNRULED: 2, Ruling.LEGAL: 3}

# Two witnesses of one illegal rule that only together refuse.
TOGETHER = {("found-medium", "found-medium")}
WORST_FIRST = (BAD, REVIEW, OPEN, NONE)


def meta(ruling: Ruling, kind: Kind, rule_id: str = "some-rule") -> RuleMeta:
    return RuleMeta(rule_id, "title", ruling, kind, "someone on #1", "2026-03-18")


def result(state: str, witness: Witness, *, rule: str = "some-rule", suppressed: bool = False) -> RuleResult:
    outcome, _, confidence = state.partition("-")
    findings = (Finding(Confidence(confidence), "message", Place(file="train_gpt.py", line=1)),) if confidence else ()
    mark = Suppression(rule, "a reason", Place(file="golf-audit.toml")) if suppressed else None
    return RuleResult(rule, witness, Outcome(outcome), "reason", findings, mark)


def expected_single(state: str, ruling: Ruling, kind: Kind) -> Verdict:
    return NONE if kind is Kind.FORM else TABLE[state][COLUMN[ruling]]


def expected_pair(one: str, two: str, ruling: Ruling, kind: Kind, *, same_rule: bool) -> Verdict:
    if same_rule and (one, two) in TOGETHER and ruling is Ruling.ILLEGAL and kind is not Kind.FORM:
        return BAD
    both = (expected_single(one, ruling, kind), expected_single(two, ruling, kind))
    return next(verdict for verdict in WORST_FIRST if verdict in both)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("ruling", Ruling)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("witness", [SOURCE, RECORD, BEHAVIOUR, RERUN])
def test_one_result(state: str, ruling: Ruling, kind: Kind, witness: Witness) -> None:
    metas = {"some-rule": meta(ruling, kind)}
    judged = judge([result(state, witness)], metas, required=FULL, ran=FULL)
    assert judged.verdict is expected_single(state, ruling, kind)
    silenced = judge([result(state, witness, suppressed=True)], metas, required=FULL, ran=FULL)
    assert silenced.verdict is NONE


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("ruling", Ruling)
@pytest.mark.parametrize("witnesses", [(SOURCE, RECORD), (SOURCE, BEHAVIOUR), (RECORD, BEHAVIOUR), (RECORD, RERUN)])
def test_two_witnesses_of_one_rule(ruling: Ruling, kind: Kind, witnesses: tuple[Witness, Witness]) -> None:
    metas = {"some-rule": meta(ruling, kind)}
    for one, two in itertools.product(STATES, STATES):
        results = [result(one, witnesses[0]), result(two, witnesses[1])]
        judged = judge(results, metas, required=FULL, ran=FULL)
        assert judged.verdict is expected_pair(one, two, ruling, kind, same_rule=True), (one, two)


@pytest.mark.parametrize(("one", "two"), list(itertools.product(STATES, STATES)))
def test_two_rules_never_add_up(one: str, two: str) -> None:
    metas = {name: meta(Ruling.ILLEGAL, Kind.INTEGRITY, name) for name in ("a", "b")}
    results = [result(one, SOURCE, rule="a"), result(two, RECORD, rule="b")]
    judged = judge(results, metas, required=FULL, ran=FULL)
    assert judged.verdict is expected_pair(one, two, Ruling.ILLEGAL, Kind.INTEGRITY, same_rule=False)


def test_the_same_witness_twice_is_one_witness() -> None:
    metas = {"some-rule": meta(Ruling.ILLEGAL, Kind.INTEGRITY)}
    twice = [result("found-medium", SOURCE), result("found-medium", SOURCE)]
    assert judge(twice, metas, required=FULL, ran=FULL).verdict is REVIEW


SUBSETS = [c for n in range(4) for c in itertools.combinations(sorted(FULL), n)]


@pytest.mark.parametrize("ran", SUBSETS, ids=str)
@pytest.mark.parametrize("required", SUBSETS[1:], ids=str)
@pytest.mark.parametrize("state", STATES)
def test_witnesses_that_did_not_run(state: str, required: tuple[Witness, ...], ran: tuple[Witness, ...]) -> None:
    metas = {"some-rule": meta(Ruling.ILLEGAL, Kind.LIMIT)}
    judged = judge([result(state, SOURCE)], metas, required=required, ran=ran)
    alone = expected_single(state, Ruling.ILLEGAL, Kind.LIMIT)
    absent = set(required) - set(ran)
    assert judged.verdict is (OPEN if alone is NONE and absent else alone)
    gap = state in ("unknown", "error")
    assert judged.complete is (set(ran) == set(FULL) and not gap)
    if absent and alone is NONE:
        assert all(witness.value in judged.reason for witness in absent)


@pytest.mark.parametrize("state", STATES)
def test_a_rerun_is_heard_like_the_others_but_no_audit_needs_it(state: str) -> None:
    metas = {"some-rule": meta(Ruling.ILLEGAL, Kind.INTEGRITY)}
    four = {*FULL, RERUN}
    heard = judge([result("clear", SOURCE), result(state, RERUN)], metas, required=four, ran=four)
    assert heard.verdict is expected_single(state, Ruling.ILLEGAL, Kind.INTEGRITY)
    assert heard.complete is (state not in ("unknown", "error"))
    asked = judge([result("clear", SOURCE)], metas, required=four, ran=FULL)
    assert asked.verdict is OPEN and "rerun" in asked.reason
    assert judge([result("clear", SOURCE)], metas, required=FULL, ran=FULL).complete


def test_a_gap_of_a_form_rule_or_a_legal_pattern_leaves_the_audit_complete() -> None:
    metas = {"f": meta(Ruling.ILLEGAL, Kind.FORM, "f"), "l": meta(Ruling.LEGAL, Kind.INTEGRITY, "l")}
    judged = judge(
        [result("error", RECORD, rule="f"), result("unknown", SOURCE, rule="l")], metas, required=FULL, ran=FULL
    )
    assert judged.verdict is NONE and judged.complete


def test_the_reason_names_the_rules() -> None:
    metas = {name: meta(Ruling.ILLEGAL, Kind.LIMIT, name) for name in ("artifact-cap", "train-wallclock")}
    results = [result("found-high", RECORD, rule="artifact-cap"), result("found-low", RECORD, rule="train-wallclock")]
    judged = judge(results, metas, required=FULL, ran=FULL)
    assert "artifact-cap" in judged.reason and "train-wallclock" not in judged.reason


def test_no_results_at_all_is_no_violation_only_if_the_witnesses_ran() -> None:
    assert judge([], {}, required=FULL, ran=FULL).verdict is NONE
    assert judge([], {}, required=FULL, ran={SOURCE}).verdict is OPEN


def test_a_found_result_without_findings_still_goes_to_review() -> None:
    bare = RuleResult("some-rule", SOURCE, Outcome.FOUND, "reason")
    metas = {"some-rule": meta(Ruling.ILLEGAL, Kind.INTEGRITY)}
    assert judge([bare], metas, required=FULL, ran=FULL).verdict is REVIEW


def test_a_rule_without_metadata_does_not_pass_unnoticed() -> None:
    with pytest.raises(KeyError):
        judge([result("clear", SOURCE, rule="stranger")], {}, required=FULL, ran=FULL)
