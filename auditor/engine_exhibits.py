"""The engine's gathering of what pages show beside the results. It decides nothing: what fails here is only noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from auditor.core.excerpts import excerpts
from auditor.core.exhibits import Exhibits
from auditor.core.guard import Answer, Failure, contained
from auditor.core.submission import Submission
from auditor.core.types import RuleResult

SECONDS = 5.0
"""CPU time for either part."""


def gathered(
    submission: Submission, results: Sequence[RuleResult], record: Answer[Any] | Failure | None, notes: list[str]
) -> Exhibits:
    """Curves and bars of the record witness, where it answered, and the lines that findings point at."""
    drawn = Exhibits()
    if isinstance(record, Answer):
        facts = record.value
        drawn = _part(lambda: _of_record(facts), "curves and bars", notes) or drawn
    lines = _part(lambda: excerpts(submission, results), "excerpts of the source", notes) or ()
    return replace(drawn, excerpts=lines)


def _of_record(facts: Any) -> Exhibits:
    from auditor.record.exhibits import exhibits

    return exhibits(facts)


def _part(step: Any, what: str, notes: list[str]) -> Any:
    made = contained(step, seconds=SECONDS)
    if isinstance(made, Answer):
        return made.value
    notes.append(f"The report lacks {what}: {made.reason}.")
    return None
