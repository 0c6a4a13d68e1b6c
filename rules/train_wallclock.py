"""`train-wallclock`: Training took longer than 600 s."""

from __future__ import annotations

from auditor.core.rule import Example, Rule, Ruled
from auditor.core.submission import Submission
from auditor.core.types import Kind, Ruling
from auditor.record.facts import BUDGET_SECONDS, TRAIN_TOLERANCE, RecordFacts
from auditor.rerun.witness_facts import RerunFacts
from rules._record import RECORD, finding, folder, log
from rules._rerun import time_ruled


class TrainWallclock(Rule):
    """Training took longer than 600 s.

    What it does:
    Takes the training clock at its stop from every log behind the headline. One step beyond 600 s is the normal
    overshoot of a cap that is tested after a step: up to 0.2 s is let pass, up to one second is medium. Of a re-run on
    8 H100: the harness's clock, found only where the script's own clock, if it can be believed, is over too.

    Why it is not allowed:
    A record must train in under ten minutes on 8 H100.

    How to fix it:
    Stop in time; leave a reserve for what still belongs to training.

    Known limits:
    Seconds of other hardware cannot be judged and belong to the rule `hardware`; the non-record track has no such
    budget. Compile and warm-up steps before the clock and serialisation after it are not counted, as in practice.

    Authority:
    README O4; 44 of 126 merged logs exceed 600.000 s, all by less than 0.14 s; #1945 was admitted only with a rerun
    of the seed that took 602.0 s.
    """

    title = "Training took longer than 600 s"
    ruling = Ruling.ILLEGAL
    kind = Kind.LIMIT
    authority = "README O4 [M]; practice on #1945, #1908 [M-git]"
    since = "2026-03-18"
    VALID = [
        Example("one step over", folder(train_log=log(train_ms=600_120))),
    ]
    INVALID = [
        Example("seconds over", folder(train_log=log(train_ms=602_048)), expect=("train.log:7",)),
        Example("half a second over", folder(train_log=log(train_ms=600_500)), expect=("train.log:7",)),
    ]

    def check_record(self, submission: Submission, facts: RecordFacts) -> Ruled:
        """Compare each run's training clock with the budget."""
        if submission.track != RECORD:
            return Ruled.not_applicable("only the record track has a training budget")
        found, read = [], 0
        for run in facts.judged():
            box, times = run.hardware, run.times
            if times is None or times.train is None or times.train_at is None:
                continue
            if box is not None and box.equivalent is False:
                continue
            read += 1
            over = times.train - BUDGET_SECONDS
            if over > TRAIN_TOLERANCE:
                message = f"{run.name}: training took {times.train:.3f} s, {over:.3f} s over the budget"
                found.append(finding("high" if over > 1.0 else "medium", message, times.train_at))
        if found:
            return Ruled.found(found, found[0].message)
        if not read:
            return Ruled.not_applicable("no log states a training time on the right hardware")
        return Ruled.clear(f"{read} training clocks stand within 600 s and one step")

    def check_rerun(self, submission: Submission, facts: RerunFacts) -> Ruled:
        """Compare the seconds of a re-run with the budget, by every reading that was applied."""
        return time_ruled(submission, facts, "training")
