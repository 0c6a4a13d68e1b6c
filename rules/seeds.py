"""`seeds`: Fewer than three seeds of one configuration have evidence."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.record.facts import RecordFacts
from rules._record import SEEDS, folder, form_ruled


class Seeds(Rule):
    """Fewer than three seeds of one configuration have evidence.

    What it does:
    Counts the distinct logged runs that give the headline score and compares their hyper-parameter dumps.

    Why it is not allowed:
    A row needs the mean of three seeds of the submitted configuration.

    How to fix it:
    Run three seeds with the same settings and ship their logs.

    Known limits:
    Only settings that change the model, the optimiser or the evaluation are compared; a seed without a log does not
    count, whatever submission.json lists.

    Authority:
    README O16; cocohearts on #2124, 05-02; single-seed headlines #2020, #2121, #1963, #2139.
    """

    title = "Fewer than three seeds of one configuration have evidence"
    ruling = Ruling.ILLEGAL
    kind = Kind.FORM
    authority = "README O16 [M]; cocohearts on #2124 [M]"
    since = "2026-03-19"
    VALID = [
        Example("three seeds", SEEDS),
    ]
    INVALID = [
        Example("one log", folder(), expect=("submission.json: val_bpb",)),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Hand on the form issues of the record."""
        return form_ruled(facts, "seeds", clear="three seeds of one configuration have a log with the score")
