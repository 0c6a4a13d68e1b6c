"""`eval-wallclock`: Evaluation took longer than 600 s."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.record.facts import BUDGET_SECONDS, EVAL_TOLERANCE, RecordFacts
from auditor.rerun.witness_facts import RerunFacts
from rules._record import RECORD, finding, folder, log
from rules._rerun import time_ruled


class EvalWallclock(Rule):
    """Evaluation took longer than 600 s.

    What it does:
    Adds the seconds that the headline score needs at least: the time that the log gives for the whole evaluation,
    else the time of the evaluation behind the headline plus the adaptation before it. Diagnostics, other scores and
    compile warm-up are left out. Of a re-run on 8 H100: the harness's clock over the same phases; found where the
    evaluation behind the score is over by itself.

    Why it is not allowed:
    Evaluation has ten minutes on 8 H100, besides training.

    How to fix it:
    Make the evaluation shorter, or score with fewer windows or epochs.

    Known limits:
    It is an underestimate: loading and decompression count only where the log includes them. A total between 600
    and 610 s is medium. Other hardware and the non-record track are not judged.

    Authority:
    README O5; about 688 s on #1972 was over the cap; 616 s on #529 was too long.
    """

    title = "Evaluation took longer than 600 s"
    ruling = Ruling.ILLEGAL
    kind = Kind.LIMIT
    authority = "README O5 [M]; cocohearts on #1972 [M]; valerio-oai on #529 [M*]"
    since = "2026-03-18"
    VALID = [
        Example(
            "a long diagnostic does not count",
            folder(train_log=log(["DIAGNOSTIC post_ema val_loss:1.8600 val_bpb:1.1016 eval_time:700000ms"])),
        ),
    ]
    INVALID = [
        Example("the scored evaluation is too long", folder(train_log=log(eval_ms=688_000)), expect=("train.log:11",)),
        Example(
            "adaptation before it makes it too long",
            folder(train_log="prequant_ttt:done elapsed=560.0s\n" + log()),
            expect=("train.log:12",),
        ),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Compare the evaluation that the headline needs with the budget."""
        if submission.track != RECORD:
            return Ruled.not_applicable("only the record track has an evaluation budget")
        found, read = [], 0
        for run in facts.judged():
            box, times = run.hardware, run.times
            if times is None or times.eval_needed is None or times.eval_at is None:
                continue
            if box is not None and box.equivalent is False:
                continue
            read += 1
            if times.eval_needed > BUDGET_SECONDS + EVAL_TOLERANCE:
                message = f"{run.name}: the score needs {times.eval_needed:.1f} s of evaluation"
                found.append(finding("high" if times.eval_needed > 610.0 else "medium", message, times.eval_at))
        if found:
            return Ruled.found(found, found[0].message)
        if not read:
            return Ruled.not_applicable("no log states the time of the headline's evaluation on the right hardware")
        return Ruled.clear(f"{read} evaluations stand within 600 s")

    def check_rerun(self, submission: Submission, facts: RerunFacts) -> Ruled:
        """Compare the seconds of a re-run with the budget, by every reading that was applied."""
        return time_ruled(submission, facts, "evaluation")
