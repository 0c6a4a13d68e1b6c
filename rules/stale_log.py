"""`stale-log`: The logs come from another version of the script."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.record.facts import RecordFacts
from rules._record import PRINTS, folder, form_ruled


class StaleLog(Rule):
    """The logs come from another version of the script.

    What it does:
    Lists log lines that no string of the submitted code can print, lines that it always prints and the log lacks,
    and source text in the log that differs from the script.

    Why it is not allowed:
    The log should be that of the submitted code: it is the only evidence of the run.

    How to fix it:
    Ship the log of a run of the submitted script.

    Known limits:
    Common and often harmless: 56 folders ship an untouched script beside logs of another one. It never decides the
    verdict; see `log-code-mismatch` for logs that look invented.

    Authority:
    issue #1594 (a log of merged #1493 prints a setting that the code lacks; row kept).
    """

    title = "The logs come from another version of the script"
    ruling = Ruling.UNRULED
    kind = Kind.FORM
    authority = "issue #1594 [P]"
    since = "2026-03-18"
    VALID = [
        Example("a log of this code", folder(train_gpt=PRINTS)),
    ]
    INVALID = [
        Example(
            "a score line that the code lacks",
            folder(train_gpt=PRINTS.replace("final_int8_zlib_roundtrip_exact", "other")),
            expect=("train.log:12",),
        ),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Hand on the form issues of the record."""
        return form_ruled(facts, "stale-log", clear="every line of a known family can come from the submitted code")
