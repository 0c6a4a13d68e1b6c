"""The next plan after a failure: another value for the knobs that the failure names, else the next level."""

from __future__ import annotations

from auditor.behaviour.scale.model import Failure, Plan
from auditor.behaviour.scale.plan import build
from auditor.behaviour.scale.values import LEVELS
from auditor.core.submission import Submission

MAX_RETRIES = 3
_SCALE_ERRORS = frozenset(
    {"AssertionError", "ValueError", "RuntimeError", "IndexError", "ZeroDivisionError", "KeyError", "TypeError"}
)


def retry(plan: Plan, submission: Submission, failure: Failure) -> Plan | None:
    """A plan that differs from ``plan`` in what ``failure`` may come from; None gives up (at most three retries)."""
    if plan.attempt >= MAX_RETRIES or failure.error.rpartition(".")[2] not in _SCALE_ERRORS:
        return None
    if plan.level + 1 >= len(LEVELS):
        return None
    return build(submission, plan.level + 1, plan.tweaks, plan.attempt + 1)
