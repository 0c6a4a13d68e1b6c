"""What is seen in the record of a re-run, sign by sign, each with the sentence that says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice, pairwise

from auditor.record.facts import BUDGET_SECONDS, Over
from auditor.record.sizes import CAP
from auditor.rerun import times
from auditor.rerun.claimed import Claimed
from auditor.rerun.compare import SEEN, Comparison
from auditor.rerun.facts import RerunRecord, SeedEnd, SeedRun
from auditor.rerun.figures import score_of
from auditor.rerun.sizes import size_of
from auditor.rerun.spans import counted

LARGEST = times.LARGEST
"""No figure of a run is larger."""
SLACK = 1.0
"""Seconds by which figures of one run may part."""
SHARE = 0.02
"""Of the run's seconds that its phases may leave out."""
SLOWER = 0.9
"""Share of the claimed steps below which a run is told to have been slower."""


class Sign(StrEnum):
    """What a record can show; see ``auditor.rerun.outcome`` for the order in which signs decide."""

    HARNESS = "the harness failed"
    SETUP = "the set-up failed"
    OVER_CAP = "over the cap"
    OVER_TIME = "over the time"
    WORSE = "worse than claimed"
    OUT_OF_MEMORY = "out of memory"
    TIMED_OUT = "killed at the limit"
    CRASHED = "crashed"
    UNEQUAL = "not the competition's machine"
    OPEN = "open"


@dataclass(slots=True)
class Signs:
    """Sentences by sign, and what is worth telling but decides nothing."""

    sentences: dict[Sign, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def seen(self) -> frozenset[Sign]:
        """The signs that were seen."""
        return frozenset(self.sentences)

    def add(self, sign: Sign, sentence: str) -> None:
        """Note that ``sign`` was seen."""
        self.sentences.setdefault(sign, []).append(sentence)


_ENDS = {
    SeedEnd.OUT_OF_MEMORY: Sign.OUT_OF_MEMORY,
    SeedEnd.TIMED_OUT: Sign.TIMED_OUT,
    SeedEnd.CRASHED: Sign.CRASHED,
}


def gather(record: RerunRecord, claimed: Claimed, comparison: Comparison) -> Signs:
    """All signs of ``record`` against ``claimed``."""
    signs = Signs()
    if record.harness_error:
        signs.add(Sign.HARNESS, record.harness_error)
    if record.setup_error:
        signs.add(Sign.SETUP, record.setup_error)
    _machine(signs, record)
    _steps(signs, record, claimed)
    _ends(signs, record)
    for run in record.seeds:
        if run.end is SeedEnd.FINISHED:
            _figures(signs, run)
            if run.phases and damage(run):
                continue
            _size(signs, run, record, claimed)
            _time(signs, run, record, claimed)
    if not record.hardware.toy:
        score_signs(signs, comparison, counts=record.hardware.equivalent)
    return signs


def scored(record: RerunRecord) -> list[tuple[int | None, float]]:
    """(seed, bits per byte) of the runs that finished with a score and do not contradict themselves."""
    found = ((run, score_of(run)) for run in record.seeds)
    return [(run.seed, score) for run, score in found if score is not None and not (run.phases and damage(run))]


def score_signs(signs: Signs, comparison: Comparison, *, counts: bool = True) -> None:
    """What the scores say; where the machine does not count they are only told."""
    gap, room = comparison.gap, comparison.tolerance
    if gap is None:
        signs.add(Sign.OPEN, f"the claim could not be compared: {comparison.how}")
        return
    figures = comparison.statistics
    shown = f"{figures.mean:.5f} measured" if figures.mean is not None else ""
    shown += f", {figures.stated_mean:.5f} claimed" if figures.stated_mean is not None else ""
    told = f"{shown}: {abs(gap):.5f} bits per byte {'worse' if gap > 0 else 'better'} ({comparison.how})"
    if not counts:
        signs.notes.append(f"{told}, which counts for nothing on this machine")
        return
    if not comparison.refuted:
        signs.notes.append(f"{told}, within the tolerance of {room:.4f}" if gap > -room else f"{told} than claimed")
        return
    reach = (
        f"published re-runs put at most {SEEN:g} down to machine or libraries"
        if comparison.far
        else f"published re-runs put up to {SEEN:g} down to machine or libraries: compare the environments"
    )  # fmt: skip
    signs.add(Sign.WORSE, f"{told}, beyond the tolerance of {room:.4f}; {reach}")


def _machine(signs: Signs, record: RerunRecord) -> None:
    box = record.hardware
    if box.equivalent:
        return
    if box.toy:
        signs.add(Sign.UNEQUAL, "toy world on a CPU: it shows that the script runs; no claim can be settled by it")
        return
    what = ", ".join(dict.fromkeys(box.gpus)) or "no GPU that was seen"
    number = f"{len(box.gpus)} x {what}" if box.gpus else what
    signs.add(
        Sign.UNEQUAL, f"not 8 H100 (SXM) with 8 processes but {number}, {box.processes} processes: "
        "seconds and scores of it neither confirm nor refute the claim",
    )  # fmt: skip


def _steps(signs: Signs, record: RerunRecord, claimed: Claimed) -> None:
    """Steps and tokens against the claimed ones: all that another machine can compare, else told where they differ."""
    if record.hardware.toy:
        return
    for what, stated in (("steps", claimed.steps), ("tokens", claimed.tokens)):
        done = min((n for run in record.seeds if (n := getattr(run, what)) is not None), default=None)
        if done is None or not stated or (record.hardware.equivalent and done >= SLOWER * stated):
            continue
        hint = ": kernels, libraries or the machine differ, or the claimed number" * record.hardware.equivalent
        signs.notes.append(f"{what}: {done:,} of the claimed {stated:,} ({done / stated:.0%}){hint}")


def _ends(signs: Signs, record: RerunRecord) -> None:
    for run in record.seeds:
        sign = _ENDS.get(run.end)
        if sign is not None:
            signs.add(sign, f"{_name(run)}: {run.reason or sign.value}")
    finished = [run.seed for run in record.seeds if run.end is SeedEnd.FINISHED]
    missing = [seed for seed in record.asked_seeds if seed not in finished]
    if missing:
        signs.add(Sign.OPEN, f"not finished: seed {', '.join(map(str, missing))}")
    elif not finished and not record.setup_error and not record.harness_error:
        signs.add(Sign.OPEN, "no run finished")


def _figures(signs: Signs, run: SeedRun) -> None:
    """A finished run must have a usable score, and no figure in it that cannot be one."""
    if run.headline is None:
        signs.add(Sign.OPEN, f"{_name(run)}: no score was found in its log")
    if reason := damage(run):
        signs.add(Sign.OPEN, reason)
    if run.reason:
        signs.notes.append(f"{_name(run)}: {run.reason}")


def damage(run: SeedRun) -> str:
    """Why the figures of ``run`` cannot all be what was measured, in one sentence; empty where nothing speaks so."""
    numbers = (
        run.seconds, run.train_seconds, run.eval_seconds, run.stated_train_seconds, run.stated_eval_seconds,
        run.train_seconds_strict, run.eval_seconds_strict, run.artifact_bytes, run.code_bytes, run.steps, run.tokens,
    )  # fmt: skip
    spans = (moment for span in run.phases for moment in (span.start, span.end - span.start))
    if any(n is not None and not _usable(n) for n in (*numbers, *spans)):
        return f"{_name(run)}: a figure of the record is damaged"
    if run.end is SeedEnd.FINISHED and not run.phases:
        return f"{_name(run)}: it has no phases"
    if run.end is SeedEnd.FINISHED and run.headline is not None and score_of(run) is None:
        return f"{_name(run)}: its score is no usable number"
    return "" if _whole(run) else f"{_name(run)}: its phases and its seconds contradict each other"


def _size(signs: Signs, run: SeedRun, record: RerunRecord, claimed: Claimed) -> None:
    """The bytes on disk against the cap; at toy scale only an artifact that is over by itself says anything."""
    over, why = size_of(run, claimed, round(_limit(record.cap_bytes, CAP)))
    if record.hardware.toy and not (over is Over.OVER and (run.artifact_bytes or 0) > _limit(record.cap_bytes, CAP)):
        return
    if over is Over.OVER:
        signs.add(Sign.OVER_CAP, f"{_name(run)}: {why}")
    elif over is Over.UNKNOWN:
        signs.add(Sign.OPEN, f"{_name(run)}: {why}")
    elif over is not Over.UNDER:
        signs.notes.append(f"{_name(run)}: disputed size: {why}")


def _time(signs: Signs, run: SeedRun, record: RerunRecord, claimed: Claimed) -> None:
    """Seconds against the budgets; only the record track has them."""
    if not claimed.record_track or record.hardware.toy:
        return
    for name, readings, limit in (
        ("training", times.training(run), record.limit_train), ("evaluation", times.evaluation(run), record.limit_eval)
    ):  # fmt: skip
        budget = _limit(limit, BUDGET_SECONDS)
        if not any(r.decides for r in readings):
            signs.add(Sign.OPEN, f"{_name(run)}: the time of {name} was not measured")
        elif times.over(readings, budget):
            signs.add(Sign.OVER_TIME, f"{_name(run)}: {name} took more than {budget:g} s: {times.told(readings)}")
        elif times.disputed(readings, budget):
            signs.notes.append(f"{_name(run)}: {name} is over {budget:g} s by some readings: {times.told(readings)}")


def _whole(run: SeedRun) -> bool:
    """Whether the phases follow each other from the launch to the end, and give the seconds that stand beside them."""
    joints = pairwise((0.0, *(moment for span in run.phases for moment in (span.start, span.end)), run.seconds))
    gaps = [abs(b - a) for a, b in islice(joints, 0, None, 2)]
    sums = counted(run.phases)
    pairs = (
        (run.train_seconds, sums.train), (run.train_seconds_strict, sums.train_strict),
        (run.eval_seconds, sums.evaluation), (run.eval_seconds_strict, sums.evaluation_strict),
    )  # fmt: skip
    stands = all(abs((told or 0.0) - (seen or 0.0)) <= SLACK for told, seen in pairs if told is not None)
    return all(gap <= SLACK + SHARE * run.seconds for gap in gaps) and stands


def _usable(number: object) -> bool:
    """A number from zero that a run can have; a bool or a text, which a forged record may hold, is none."""
    return isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number <= LARGEST


def _limit(asked: float, usual: float) -> float:
    """A stricter limit than the usual one counts, a milder or senseless one does not."""
    return asked if _usable(asked) and 0 < asked < usual else usual


def _name(run: SeedRun) -> str:
    return "the run" if run.seed is None else f"seed {run.seed}"
