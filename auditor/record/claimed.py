"""The log lines of the claimed score: those that state it, else the one that comes nearest."""

from __future__ import annotations

from auditor.core.submission import Submission
from auditor.core.types import Place
from auditor.record.facts import RecordFacts

NEARLY = 0.003
"""Relative distance up to which a logged score stands for a claimed one that no log has."""


def headline_lines(submission: Submission, facts: RecordFacts) -> tuple[str, ...]:
    """The log lines that state the score that the submission claims."""
    return _texts(submission, [at for _, at in facts.metric.logged_as])


def nearest_lines(submission: Submission, facts: RecordFacts) -> tuple[str, ...]:
    """The log line whose score is nearly the claimed one; empty where a line states it exactly, or none is near."""
    claimed = facts.metric.headline
    if claimed is None or headline_lines(submission, facts):
        return ()
    scored = [(abs(e.val_bpb.value - claimed), e.at) for run in facts.runs for e in run.evaluations if e.val_bpb]
    near = [(gap, at) for gap, at in scored if gap <= NEARLY * claimed]
    return _texts(submission, [at for _, at in sorted(near, key=lambda pair: pair[0])[:1]])


def foreign(facts: RecordFacts) -> str:
    """A sentence when no print call of the code, whatever its number formats, can have written the headline's lines."""
    strange = {(u.at.log, u.at.line) for u in facts.templates.unprintable if u.same_words is None}
    stated = [at for _, at in facts.metric.logged_as]
    if not stated or not all((at.log, at.line) in strange for at in stated):
        return ""
    what = "nothing in it can have printed the line of the claimed score"
    return f"the code is not the one that was scored: {what} ({stated[0]})"


def _texts(submission: Submission, places: list[Place]) -> tuple[str, ...]:
    logs = {log.path: log.lines for log in submission.logs}
    return tuple(
        logs[at.log][at.line - 1] for at in places
        if at.log in logs and at.line is not None and at.line <= len(logs[at.log])
    )  # fmt: skip
