"""`hardware`: The run was not made on eight H100."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.record.facts import RecordFacts
from rules._record import folder, form_ruled, log, metadata


class HardwareRule(Rule):
    """The run was not made on eight H100.

    What it does:
    Reads the GPU and the world size from the log, else from submission.json and README.

    Why it is not allowed:
    Ten minutes are counted on 8 H100 (SXM); the seconds of other hardware say nothing about them.

    How to fix it:
    Run it on 8 H100, or submit to the non-record track.

    Known limits:
    H200 counts as other hardware although one early merged row used it. A log without the GPU name is judged by
    what the submission states.

    Authority:
    README O4, O5; a single-H100 run makes a record row invalid (cocohearts on #2103, 05-02).
    """

    title = "The run was not made on eight H100"
    ruling = Ruling.ILLEGAL
    kind = Kind.FORM
    authority = "README O4, O5 [M]; cocohearts on #2103 [M]"
    since = "2026-03-18"
    VALID = [
        Example("eight GPUs", folder(submission=metadata(hardware="8xH100 SXM"))),
    ]
    INVALID = [
        Example("one GPU", folder(train_log=log().replace("world_size:8", "world_size:1")), expect=("train.log:1",)),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Hand on the form issues of the record."""
        return form_ruled(facts, "hardware", clear="nothing says that other hardware than 8 H100 was used")
