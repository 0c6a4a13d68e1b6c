"""`duplicate-seeds`: Two seeds are the same run."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.record.facts import RecordFacts
from rules._record import SEEDS, finding, folder, log

STEPS = [f"step:{n}00/20000 train_loss:2.{n}731 train_time:{n}ms step_avg:1.00ms" for n in range(2, 8)]


class DuplicateSeeds(Rule):
    """Two seeds are the same run.

    What it does:
    Compares the logged runs of different seeds: training losses that are identical at every common step, final
    scores identical to six decimals, or one run id for both.

    Why it is not allowed:
    A mean over seeds needs independent runs; a copied log is invented evidence.

    How to fix it:
    Run each seed and ship its own log.

    Known limits:
    Logs without training losses and with few decimals cannot be told apart.

    Authority:
    README O16; seen in real folders, no ruling seen.
    """

    title = "Two seeds are the same run"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O16 [M]"
    since = "2026-03-19"
    VALID = [
        Example("three distinct seeds", SEEDS),
    ]
    INVALID = [
        Example(
            "one log under two seeds",
            {
                **folder(),
                "train_seed42.log": log(STEPS, seed=42),
                "train_seed7.log": log(STEPS, seed=42).replace("seed:42", "seed:7"),
            },
            expect=("train_seed7.log:5",),
        ),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Report pairs of seeds that are one run."""
        pairs = facts.seeds.duplicates
        if facts.seeds.runs_with_score < 2:
            return Ruled.not_applicable("there is only one run with a score")
        if not pairs:
            return Ruled.clear(f"{facts.seeds.runs_with_score} runs differ from each other")
        found = [
            finding("high" if why.startswith("identical") else "medium", f"{a} and {b}: {why}", at)
            for a, b, why, at in pairs
        ]
        return Ruled.found(found, found[0].message)
