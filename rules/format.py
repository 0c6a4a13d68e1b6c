"""`format`: The folder is incomplete or contradicts itself."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.record.facts import RecordFacts
from rules._record import folder, form_ruled, metadata, readme


class Format(Rule):
    """The folder is incomplete or contradicts itself.

    What it does:
    Looks for README.md, submission.json with a score, a training log with a score, and a script that compiles; for
    files outside the record folder; and for scores that submission.json, README and logs state differently.

    Why it is not allowed:
    A pull request adds one folder that is complete and runs by itself.

    How to fix it:
    Add what is missing, and state one score everywhere.

    Known limits:
    Whether the script runs is not tried here. Files outside the folder are known only in a checkout.

    Authority:
    README O17; #1143, #1120, #1031, #545, #529, #631 and others sent back.
    """

    title = "The folder is incomplete or contradicts itself"
    ruling = Ruling.ILLEGAL
    kind = Kind.FORM
    authority = "README O17 [M]"
    since = "2026-03-18"
    VALID = [
        Example("complete", folder()),
    ]
    INVALID = [
        Example("no README", {k: v for k, v in folder().items() if k != "README.md"}, expect=("2026-04-01_Example",)),
        Example("the script does not compile", folder(train_gpt="def main(:\n    pass\n"), expect=("train_gpt.py:1",)),
        Example(
            "the stated score is in no log",
            folder(submission=metadata(val_bpb=1.05), readme_md=readme("1.0500")),
            expect=("submission.json: val_bpb",),
        ),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Hand on the form issues of the record."""
        return form_ruled(facts, "format", clear="README, submission.json, log and script are there and agree")
