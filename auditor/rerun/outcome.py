"""The judgement of a re-run: a pure function of its record and of what the submission states."""

from __future__ import annotations

from auditor.core.submission import Submission
from auditor.rerun.facts import RerunRecord, RunOutcome, SeedEnd
from auditor.rerun.judged import EXIT, Judgement, RowTest, SeedLine, Statistics

__all__ = ["EXIT", "Judgement", "RowTest", "SeedLine", "Statistics", "judge"]

_ENDS = (
    (SeedEnd.OUT_OF_MEMORY, RunOutcome.OUT_OF_MEMORY),
    (SeedEnd.TIMED_OUT, RunOutcome.TIMED_OUT),
    (SeedEnd.CRASHED, RunOutcome.CRASHED),
)


def judge(record: RerunRecord, submission: Submission) -> Judgement:
    """Judge what was measured against what is stated."""
    seeds = tuple(
        SeedLine(s.seed, s.end, s.headline.bpb if s.headline else None, None, "", None, s.bytes_total,
                 s.train_seconds, s.eval_seconds, s.steps, s.reason)
        for s in record.seeds
    )  # fmt: skip
    outcome, reason = _settled(record)
    return Judgement(outcome, (reason,), seeds=seeds)


def _settled(record: RerunRecord) -> tuple[RunOutcome, str]:
    if record.harness_error:
        return RunOutcome.HARNESS_FAILED, record.harness_error
    if record.setup_error:
        return RunOutcome.SETUP_FAILED, record.setup_error
    for run in record.seeds:
        if run.bytes_total is not None and run.bytes_total > record.cap_bytes:
            return RunOutcome.OVER_CAP, f"seed {run.seed}: {run.bytes_total:,} bytes"
    for end, outcome in _ENDS:
        for run in record.seeds:
            if run.end is end:
                return outcome, f"seed {run.seed}: {run.reason}"
    return RunOutcome.INCONCLUSIVE, "the measured scores are not compared with the stated ones yet"
