"""`headline-not-logged`: The stated score is better than anything that a log shows."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.record.facts import RecordFacts
from rules._record import finding, folder, metadata


class HeadlineNotLogged(Rule):
    """The stated score is better than anything that a log shows.

    What it does:
    Looks for the stated score, or a mean over seeds that gives it, among all scores in the logs. A stated score
    that is better than every logged one by more than 0.001 is found; small differences stay with the form rule
    `format`.

    Why it is not allowed:
    A score without a log is not shown; corrected or projected figures are no evidence.

    How to fix it:
    State the score that the logs show, and ship the logs that show it.

    Known limits:
    A log that prints its score in words that are not known counts as no score. Without any logged score only the
    form rule speaks.

    Authority:
    README O17; offsets (#1981) and seeds of another configuration (#2124) were sent back.
    """

    title = "The stated score is better than anything that a log shows"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O17 [M]; cocohearts on #1981, #2124 [M*]"
    since = "2026-03-18"
    VALID = [
        Example("logged to all digits", folder(submission=metadata(val_bpb=1.1))),
    ]
    INVALID = [
        Example("better than any log", folder(submission=metadata(val_bpb=1.05)), expect=("submission.json: val_bpb",)),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Compare the headline with every logged score."""
        metric = facts.metric
        if metric.headline is None or metric.headline_at is None or metric.how in ("no logged score", "nothing stated"):
            return Ruled.not_applicable(f"{metric.how or 'nothing stated'}: see `format`")
        scores = [e.val_bpb.value for run in facts.runs for e in run.evaluations if e.val_bpb]
        if metric.how != "not logged" or not scores or not 0.0 < metric.headline < min(scores) - 0.001:
            return Ruled.clear(f"the headline against the logs: {metric.how}")
        message = f"{metric.headline:g} is stated, the best score in any log is {min(scores):g}"
        return Ruled.found([finding("medium", message, metric.headline_at)], message)
