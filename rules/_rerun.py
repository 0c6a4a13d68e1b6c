"""What the checks of the re-run share: where a finding points, and which runs can be judged at all."""

from __future__ import annotations

from collections.abc import Iterable

from auditor.core.rule import Ruled
from auditor.core.submission import Submission
from auditor.core.types import PathStep, Place
from auditor.record.facts import BUDGET_SECONDS
from auditor.rerun.witness_facts import Measured, RerunFacts
from rules._record import RECORD, finding


def script_of(submission: Submission) -> Place:
    """The script that was run: what the harness measured stands in no file of the submission."""
    return Place(file=submission.entry.path if submission.entry else submission.name)


def lines_of(runs: Iterable[Measured]) -> tuple[PathStep, ...]:
    """The line of each raw log, beside the record, that states the score."""
    return tuple(
        PathStep(f"re-run/{m.run.log}", m.run.headline.line, f"{m.run.headline.bpb:.8g} bits per byte ({m.name})")
        for m in runs if m.run.headline is not None and m.run.log
    )  # fmt: skip


def time_ruled(submission: Submission, facts: RerunFacts, what: str) -> Ruled:
    """``training`` or ``evaluation`` of every run against its budget, by the readings of `auditor.rerun.times`.

    Found where every reading that has been used to judge is over. Where they part, the milder one stands and the
    figures are told.
    """
    if submission.track != RECORD:
        return Ruled.not_applicable(f"only the record track has a budget for {what}")
    if not facts.equivalent:
        return Ruled.not_applicable("the re-run was not on 8 H100 (SXM): its seconds tell nothing")
    at = script_of(submission)
    timed = [(m, m.training if what == "training" else m.evaluation) for m in facts.runs]
    found = [
        finding("high", f"re-run, {m.name}: {what} took more than {BUDGET_SECONDS:g} s: {check.told}", at)
        for m, check in timed if check.over
    ]  # fmt: skip
    if found:
        return Ruled.found(found, found[0].message)
    if not timed or any(m.finished and not check.decided for m, check in timed):
        return Ruled.unknown(f"the re-run could not measure the time of {what} of every seed")
    if not all(m.finished for m, _ in timed):
        return Ruled.unknown("a run was killed at a limit")
    parted = [f"{m.name}: {check.told}" for m, check in timed if check.disputed]
    if parted:
        return Ruled.clear(f"within {BUDGET_SECONDS:g} s by a reading that was applied, over by another: {parted[0]}")
    return Ruled.clear(f"re-run: {what} of {len(timed)} seed{'s' * (len(timed) > 1)} within {BUDGET_SECONDS:g} s")
