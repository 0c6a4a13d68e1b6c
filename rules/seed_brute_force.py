"""`seed-brute-force`: Seeds were searched."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Place, Ruling
from auditor.record.facts import RecordFacts
from rules._record import finding, folder, log, metadata


class SeedBruteForce(Rule):
    """Seeds were searched.

    What it does:
    Counts the seeds that have a log beside those that make the headline: many more runs than are reported, with the
    best of them as the headline, speak of a search.

    Why it is not allowed:
    Brute-forcing seeds is not allowed, and best-of-N is no mean.

    How to fix it:
    Report the mean of all seeds that were run.

    Known limits:
    Runs that were not shipped are not seen. No case was ruled on; the finding is low.

    Authority:
    README O11; best-of-N and seeds of another configuration rejected on #2124.
    """

    title = "Seeds were searched"
    ruling = Ruling.UNRULED
    kind = Kind.INTEGRITY
    authority = "README O11 [M]; cocohearts on #2124 [M]"
    since = "2026-03-18"
    VALID = [
        Example("one seed", folder()),
    ]
    INVALID = [
        Example(
            "the best of five seeds",
            {
                **folder(submission=metadata(val_bpb=1.09)),
                **{f"train_seed{n}.log": log(bpb=f"1.0{n}00000", seed=n) for n in (95, 96, 97, 98)},
                "train.log": log(bpb="1.09000000", seed=90),
            },
            expect=("submission.json: val_bpb",),
        ),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Compare the headline's seeds with all seeds that were run."""
        metric = facts.metric
        if metric.headline is None or len(metric.logged_as) == 0:
            return Ruled.not_applicable("the headline is not logged")
        everyone = {run.seed for run in facts.runs if run.is_training and run.seed is not None}
        label = metric.logged_as[-1][0]
        finals = [e.val_bpb.value for run in facts.runs for e in run.evaluations if e.label == label and e.val_bpb]
        if metric.how != "one log" or len(everyone) < 5 or len(set(finals)) < 5 or metric.headline > min(finals) + 1e-6:
            return Ruled.clear(f"{len(everyone)} seeds are logged; the headline is not the best of many")
        message = f"the headline is the best of {len(set(finals))} logged scores over {len(everyone)} seeds"
        return Ruled.found([finding("low", message, metric.headline_at or Place(field="val_bpb"))], message)
