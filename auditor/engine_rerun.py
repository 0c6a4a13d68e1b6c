"""The fourth witness in an audit: a re-run's record, heard by the rules, its figures beside the stated ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.core.guard import Answer, Failure, contained
from auditor.core.submission import Submission
from auditor.core.types import Claim, Witness

if TYPE_CHECKING:
    from auditor.core.rerun import RerunInfo
    from auditor.record.facts import RecordFacts
    from auditor.rerun.witness_facts import RerunFacts

NEEDS_A_RECORD = "the rerun witness needs the record of a re-run: --rerun-record DIR"


def missing(folder: Path | None) -> str:
    """Why there is no record to hear in ``folder``; empty where there is a file."""
    from auditor.rerun.record import NAME

    if folder is None:
        return NEEDS_A_RECORD
    return "" if (folder / NAME).is_file() else f"{folder} holds no record of a re-run ({NAME})"


def with_rerun(witnesses: tuple[Witness, ...], folder: Path | None) -> tuple[Witness, ...]:
    """The witnesses to hear: a record that is given is heard."""
    return witnesses if folder is None or Witness.RERUN in witnesses else (*witnesses, Witness.RERUN)


def hear(
    folder: Path, submission: Submission, record: Answer[RecordFacts] | Failure | None, seconds: float
) -> Answer[RerunFacts] | Failure:
    """The facts of the record in ``folder``; a record that is of no use gives a `Failure` that says why.

    ``record``: what the record witness answered; without it the stated figures are read anew.
    """
    from auditor.rerun.witness import Unusable, listen

    def step() -> Answer[RerunFacts] | Failure:
        try:
            return Answer(listen(folder, submission, _stated(submission, record)))
        except Unusable as error:
            return Failure(str(error), "")

    answer = contained(step, seconds=seconds)
    return answer.value if isinstance(answer, Answer) else answer


def told(heard: Answer[RerunFacts] | Failure | None) -> RerunInfo | None:
    """What reports say of the re-run."""
    return heard.value.info if isinstance(heard, Answer) else None


def merged(claims: Iterable[Claim], facts: RerunFacts) -> tuple[Claim, ...]:
    """Claims with what the re-run measured; what the record gave instead is named beside it."""
    measured = {claim.kind: claim for claim in facts.judgement.claims if claim.measured is not None}
    found = []
    for claim in claims:
        again = measured.pop(claim.kind, None)
        if again is None:
            found.append(claim)
            continue
        before = "" if claim.measured is None else f"; the record gives {_figure(claim.measured)}"
        found.append(replace(claim, measured=again.measured, how=f"{_told(again)}{before}"))
    found.extend(replace(claim, how=_told(claim)) for claim in measured.values())
    return tuple(found)


def _stated(submission: Submission, record: Answer[RecordFacts] | Failure | None) -> RecordFacts:
    from auditor.record import analyse

    return record.value if isinstance(record, Answer) else analyse(submission)


def _told(claim: Claim) -> str:
    how = claim.how or "measured"
    return how if how.startswith("re-run") else f"re-run: {how}"


def _figure(value: float | int | str) -> str:
    return f"{value:.8g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
