"""A submission that withdraws its own score claims nothing that could be refused: its findings go to a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from auditor.core.submission import Submission
from auditor.core.types import Confidence, Kind, Place, RuleMeta, RuleResult

_STATES = frozenset({"retracted", "withdrawn"})


def withdrawal(submission: Submission) -> Place | None:
    """Where submission.json withdraws the score: a ``status`` that says so beside an empty ``val_bpb``; else None."""
    data = submission.metadata.data if submission.metadata else None
    if not data or data.get("val_bpb") is not None:
        return None
    status = data.get("status")
    return Place(field="status") if isinstance(status, str) and status.strip().lower() in _STATES else None


def softened(results: list[RuleResult], metas: Mapping[str, RuleMeta], at: Place) -> list[RuleResult]:
    """The same results with integrity findings at medium confidence at most, each saying why."""
    return [_soften(r, at) if metas[r.rule].kind is Kind.INTEGRITY else r for r in results]


def _soften(result: RuleResult, at: Place) -> RuleResult:
    findings = tuple(
        replace(f, confidence=Confidence.MEDIUM, message=f"{f.message} (the score is withdrawn: {at})")
        if f.confidence is Confidence.HIGH else f
        for f in result.findings
    )
    return replace(result, findings=findings)
