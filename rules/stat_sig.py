"""`stat-sig`: The gain over the row to beat is not shown."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.record.facts import RecordFacts
from rules._record import SEEDS, folder, form_ruled, log, metadata


class StatSig(Rule):
    """The gain over the row to beat is not shown.

    What it does:
    Tests the mean of the seeds against the leaderboard row that stood before the submission and against the stated
    baselines: the README reading asks 0.005 nats at p < 0.01, the practice of April 2026 asked p < 0.25 without the
    margin. Both stand in the facts.

    Why it is not allowed:
    A record must beat the best row by 0.005 nats, shown at p < 0.01.

    How to fix it:
    Run more seeds, or gain more.

    Known limits:
    The deviation of the older row is not known, so the one-sample p is a lower bound of the Welch p. The row to
    beat is the best of an earlier day. The waiver for pure systems work is not recognised.

    Authority:
    README O12; #1899, #1900 and commit 13e76acdc (p < 0.25 chain); valerio-oai on #473, #589.
    """

    title = "The gain over the row to beat is not shown"
    ruling = Ruling.ILLEGAL
    kind = Kind.FORM
    authority = "README O12 [M]; practice since #1899 [M]"
    since = "2026-03-18"
    VALID = [
        Example("three seeds well below the row to beat", SEEDS),
    ]
    INVALID = [
        Example(
            "one seed, worse than the row to beat",
            folder(
                submission=metadata(val_bpb=1.2, date="2026-04-20"), train_log=log(bpb="1.20000000", loss="2.02618000")
            ),
            expect=("submission.json: val_bpb",),
        ),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Hand on the form issues of the record."""
        return form_ruled(facts, "stat-sig", clear="the gain over the row to beat is shown, or none is claimed")
