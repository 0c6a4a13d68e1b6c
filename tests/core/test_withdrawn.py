"""A withdrawn score: found where submission.json says so and states none, and its findings are never certain."""

from __future__ import annotations

import json

import pytest

from auditor.core.types import Confidence, Finding, Kind, Outcome, Place, RuleMeta, RuleResult, Ruling, Witness
from auditor.core.withdrawn import softened, withdrawal
from tests.support import make_submission


@pytest.mark.parametrize(("data", "withdrawn"), [
    ({"status": "retracted", "val_bpb": None}, True),
    ({"status": "Withdrawn"}, True),
    ({"status": "retracted", "val_bpb": 1.1}, False),
    ({"status": "pending", "val_bpb": None}, False),
    ({"val_bpb": None}, False),
])
def test_only_an_explicit_withdrawal_counts(data: dict[str, object], withdrawn: bool) -> None:
    submission = make_submission({"train_gpt.py": "print(1)\n", "submission.json": json.dumps(data)})
    assert (withdrawal(submission) is not None) is withdrawn


def test_integrity_findings_are_softened_and_limits_are_not() -> None:
    def meta(rule: str, kind: Kind) -> RuleMeta:
        return RuleMeta(rule, rule, Ruling.ILLEGAL, kind, "x", "2026-01-01")

    def result(rule: str) -> RuleResult:
        finding = Finding(Confidence.HIGH, "seen", Place(file="a.py", line=1))
        return RuleResult(rule, Witness.SOURCE, Outcome.FOUND, "seen", (finding,))

    metas = {"a": meta("a", Kind.INTEGRITY), "b": meta("b", Kind.LIMIT)}
    soft = softened([result("a"), result("b")], metas, Place(field="status"))
    assert [r.findings[0].confidence for r in soft] == [Confidence.MEDIUM, Confidence.HIGH]
    assert "withdrawn: submission.json: status" in soft[0].findings[0].message
