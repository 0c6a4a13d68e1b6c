"""What the rules read of a re-run: a record that could be believed, judged."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.core.rerun import RerunInfo
from auditor.record.facts import Over
from auditor.rerun.facts import RerunRecord, RunOutcome, SeedEnd, SeedRun
from auditor.rerun.judged import Judgement

ENOUGH_STEPS = 0.9
"""Share of the claimed steps below which a worse score may come of slower kernels or another machine."""


@dataclass(frozen=True, slots=True)
class TimeCheck:
    """One budget of one run, by the readings of ``auditor.rerun.times`` against 600 s."""

    told: str
    """All readings with their figures."""
    decided: bool
    """Whether there is a reading that decides."""
    over: bool
    """Every reading that decides is over."""
    disputed: bool
    """Some reading is over, not every one that decides."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run that finished, or was killed at a limit, with what the budgets ask of it."""

    run: SeedRun
    size: Over
    size_why: str
    training: TimeCheck
    evaluation: TimeCheck

    @property
    def name(self) -> str:
        """For a sentence."""
        return "the run" if self.run.seed is None else f"seed {self.run.seed}"

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return self.run.end is SeedEnd.FINISHED


@dataclass(frozen=True, slots=True)
class RerunFacts:
    """A re-run of this very submission. Other records never get here."""

    record: RerunRecord
    judgement: Judgement
    runs: tuple[Measured, ...] = ()
    far: bool = False
    """The score is worse by clearly more than was ever put down to machine or libraries."""
    steps_share: float | None = None
    """Steps made of those claimed, of the slowest seed; None where either is not known."""
    info: RerunInfo | None = None
    """For the report."""

    @property
    def equivalent(self) -> bool:
        """Whether seconds and scores count."""
        return self.record.hardware.equivalent

    @property
    def worse(self) -> bool:
        """Whether the score is worse than claimed by more than the tolerance, on the machine that counts."""
        figures = self.judgement.statistics
        gap = figures.gap if figures is not None else None
        return self.equivalent and figures is not None and gap is not None and gap > figures.tolerance

    @property
    def reproduced(self) -> bool:
        """Whether every seed asked for came to a score that bears the claim out."""
        return self.judgement.outcome in (RunOutcome.REPRODUCED, RunOutcome.OVER_CAP, RunOutcome.OVER_TIME) and (
            self.equivalent and not self.worse and not self.missing
        )

    @property
    def missing(self) -> tuple[int, ...]:
        """Seeds that were asked for and came to no score."""
        scored = {line.seed for line in self.judgement.seeds if line.measured is not None}
        return tuple(seed for seed in self.record.asked_seeds if seed not in scored)
