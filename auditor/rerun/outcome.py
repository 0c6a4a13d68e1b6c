"""The judgement of a re-run: a pure function of its record and of what the submission states.

Everything that was seen becomes a `Sign` with its sentence; the first sign of `ORDER` that was seen decides, and
without any the claim is reproduced. So the order is:

1. the harness failed, 2. the environment could not be set up: nothing was measured;
3. over the cap, 4. over the time, 5. worse than claimed: measured facts that settle the claim by themselves;
6. out of memory, 7. killed at the limit, 8. crashed: a seed gave no result, the most telling end first;
9. open: another machine, seeds missing, nothing claimed, a figure that is damaged or was not measured.

On hardware that is not equivalent neither seconds nor scores count: 4 and 5 become open (9). Bytes and ends are facts
anywhere; of the toy world only an artifact that is over the cap by itself is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from auditor.core.submission import Submission
from auditor.core.types import Claim
from auditor.record.facts import RecordFacts
from auditor.record.stats import Sample
from auditor.rerun.claimed import Claimed, claimed_numbers, claimed_of
from auditor.rerun.compare import Comparison, compare
from auditor.rerun.facts import RerunRecord, RunOutcome
from auditor.rerun.figures import claim_table, seed_lines
from auditor.rerun.judged import EXIT, Judgement, RowTest, SeedLine, Statistics
from auditor.rerun.signs import Sign, Signs, gather, score_signs, scored
from auditor.rerun.statistics import row_test

__all__ = ["EXIT", "ORDER", "Judgement", "RowTest", "SeedLine", "Sign", "Statistics", "judge", "judge_claimed",
           "judge_numbers", "settle"]  # fmt: skip

ORDER: tuple[tuple[Sign, RunOutcome], ...] = (
    (Sign.HARNESS, RunOutcome.HARNESS_FAILED),
    (Sign.SETUP, RunOutcome.SETUP_FAILED),
    (Sign.OVER_CAP, RunOutcome.OVER_CAP),
    (Sign.OVER_TIME, RunOutcome.OVER_TIME),
    (Sign.WORSE, RunOutcome.NOT_REPRODUCED),
    (Sign.OUT_OF_MEMORY, RunOutcome.OUT_OF_MEMORY),
    (Sign.TIMED_OUT, RunOutcome.TIMED_OUT),
    (Sign.CRASHED, RunOutcome.CRASHED),
    (Sign.UNEQUAL, RunOutcome.INCONCLUSIVE),
    (Sign.OPEN, RunOutcome.INCONCLUSIVE),
)
_NEEDS_THE_MACHINE = (Sign.OVER_TIME, Sign.WORSE)


def settle(seen: Collection[Sign]) -> RunOutcome:
    """The outcome of the signs that were seen, whatever their order."""
    for sign, outcome in ORDER:
        if sign in seen and not (Sign.UNEQUAL in seen and sign in _NEEDS_THE_MACHINE):
            return outcome
    return RunOutcome.REPRODUCED


def judge(record: RerunRecord, submission: Submission, facts: RecordFacts | None = None) -> Judgement:
    """Judge a re-run of ``submission``. ``facts`` of its record spare a second reading."""
    if facts is None:
        from auditor.record import analyse

        facts = analyse(submission)
    return judge_claimed(record, claimed_of(submission, facts))


def judge_claimed(record: RerunRecord, claimed: Claimed) -> Judgement:
    """Judge a record against stated figures. Nothing is read or run."""
    comparison = compare(claimed, scored(record))
    signs = gather(record, claimed, comparison)
    return _judgement(
        signs, claim_table(record, claimed, comparison), comparison,
        seed_lines(record, claimed, comparison.tolerance),
    )  # fmt: skip


def judge_numbers(
    claimed: Sequence[float],
    measured: Sequence[float],
    *,
    claimed_std: float | None = None,
    baseline: Sequence[float] = (),
    bytes_per_token: float | None = None,
) -> Judgement:
    """Judge published scores, claimed and re-run, by themselves: the machine, the bytes and the seconds are not known.

    Several values are those of several seeds; seeds are not matched. ``baseline``: the row to beat, its seeds or its
    mean. ValueError where a score is no number of bits per byte.
    """
    stated = claimed_numbers(claimed, claimed_std)
    values = [(None, score) for score in measured]
    claimed_numbers(measured)
    comparison = compare(stated, values)
    signs = Signs()
    score_signs(signs, comparison)
    signs.notes.append("two published numbers: the machine, the bytes and the seconds are not known here")
    table = (Claim("val_bpb", stated.score, stated.score_at, comparison.statistics.mean, "as given"),)
    return _judgement(signs, table, _with_row(comparison, measured, baseline, bytes_per_token))


def _with_row(
    comparison: Comparison, measured: Sequence[float], baseline: Sequence[float], bytes_per_token: float | None
) -> Comparison:
    if not baseline:
        return comparison
    claimed_numbers(baseline)
    row = Sample.of(baseline) if len(baseline) > 1 else baseline[0]
    test = row_test(measured, "the row given", row, bytes_per_token)
    figures = replace(comparison.statistics, tests=(test,) if test else ())
    return replace(comparison, statistics=figures)


def _judgement(
    signs: Signs, table: tuple[Claim, ...], comparison: Comparison, lines: tuple[SeedLine, ...] = ()
) -> Judgement:
    outcome = settle(signs.seen)
    decided = [sign for sign, result in ORDER if result is outcome and sign in signs.seen]
    order = [*decided, *(sign for sign, _ in ORDER if sign not in decided)]
    reasons = [sentence for sign in order for sentence in signs.sentences.get(sign, ())]
    return Judgement(outcome, (*reasons, *signs.notes), table, comparison.statistics, lines)
