"""`metric-ratio`: Loss and bits per byte of one run do not fit together."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.record.facts import RecordFacts
from rules._record import finding, folder, log


class MetricRatio(Rule):
    """Loss and bits per byte of one run do not fit together.

    What it does:
    Over one validation text and tokenizer val_loss / (ln 2 x val_bpb) is a constant, the bytes per token. Final
    scores whose ratio leaves the run's common one by more than two per cent beyond rounding are found.

    Why it is not allowed:
    A denominator that changes between scores, or a mixture that is no loss of the printed model, makes the score
    incomparable.

    How to fix it:
    Count the original bytes of the scored tokens, once, for every score.

    Known limits:
    Two per cent is wide: a final score on a slice of the text stays below it. That the common ratio itself is wrong
    shows in `val-coverage`.

    Authority:
    README O13; #2138, #2071, #2039, #2076 (byte accounting).
    """

    title = "Loss and bits per byte of one run do not fit together"
    ruling = Ruling.ILLEGAL
    kind = Kind.INTEGRITY
    authority = "README O13 [M]; cocohearts on #2138, #2076 [M*]"
    since = "2026-03-18"
    VALID = [
        Example("one constant", folder()),
    ]
    INVALID = [
        Example(
            "another denominator for the last score",
            folder(
                train_log=log(
                    [
                        "DIAGNOSTIC post_ema val_loss:1.8600 val_bpb:1.1016",
                        "DIAGNOSTIC pre_quant val_loss:1.8590 val_bpb:1.1010",
                    ],
                )
                + "ppm_mix val_loss:1.8573 val_bpb:0.9421\n"
            ),
            expect=("train.log:15",),
        ),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Look at the breaks of the ratio among final scores."""
        metric = facts.metric
        if metric.ratio is None:
            return Ruled.not_applicable("no log line states both val_loss and val_bpb")
        broken = [
            r for r in metric.ratio_breaks if r.label != "step" and abs(r.bytes_per_token / metric.ratio - 1) > 0.02
        ]
        if not broken:
            return Ruled.clear(f"{len(metric.ratios)} lines agree on {metric.ratio:.4f} bytes per token")
        found = [
            finding("medium", f"{r.label}: {r.bytes_per_token:.4f} bytes per token, elsewhere {metric.ratio:.4f}", r.at)
            for r in broken[:6]
        ]
        return Ruled.found(found, f"{len(broken)} scores with another number of bytes per token")
