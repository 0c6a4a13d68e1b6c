"""What a judged re-run says: outcome and reasons, stated against measured, seed by seed, and the statistics."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.core.types import Claim
from auditor.rerun.facts import RunOutcome, SeedEnd

EXIT: dict[RunOutcome, int] = {
    RunOutcome.REPRODUCED: 0,
    RunOutcome.NOT_REPRODUCED: 1,
    RunOutcome.OVER_CAP: 1,
    RunOutcome.OVER_TIME: 1,
    RunOutcome.CRASHED: 10,
    RunOutcome.OUT_OF_MEMORY: 10,
    RunOutcome.TIMED_OUT: 10,
    RunOutcome.INCONCLUSIVE: 11,
    RunOutcome.SETUP_FAILED: 11,
    RunOutcome.HARNESS_FAILED: 3,
}
"""Exit code of ``golf-audit rerun`` by outcome."""


@dataclass(frozen=True, slots=True)
class SeedLine:
    """One measured seed beside what is stated for it; scores in bits per byte, times in seconds."""

    seed: int | None
    end: SeedEnd
    measured: float | None
    stated: float | None
    against: str
    """What ``stated`` is: ``this seed's stated score`` or ``the stated mean``; empty where nothing is stated."""
    within: bool | None
    """Not worse than ``stated`` by more than the tolerance; None where there is nothing to compare."""
    bytes_total: int | None = None
    train_seconds: float | None = None
    eval_seconds: float | None = None
    steps: int | None = None
    remark: str = ""

    @property
    def gap(self) -> float | None:
        """Measured less stated: positive is worse than claimed."""
        return None if self.measured is None or self.stated is None else self.measured - self.stated


@dataclass(frozen=True, slots=True)
class RowTest:
    """A one-sided test of the measured seeds against the row that the submission claims to beat."""

    row: str
    baseline: float
    margin_bpb: float
    gain_bpb: float
    gain_nats: float
    p: float | None
    """With the margin (README: p < 0.01). None for fewer than two seeds."""
    p_without_margin: float | None
    """The practice since April 2026 asked p < 0.25 of it."""
    further_seeds: int | None
    """Seeds beyond those measured until p < 0.01, were the mean and the spread to stay; None: no number of them."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Mean and spread (sample deviation, ddof 1) of the measured scores, the tolerance, and the tests."""

    n: int
    mean: float | None
    std: float | None
    stated_mean: float | None
    stated_std: float | None
    tolerance: float
    """By how much, in bits per byte, a measured mean may be worse than the stated one."""
    tolerance_why: str
    gap: float | None = None
    """Measured less stated, like against like: positive is worse than claimed."""
    gap_p: float | None = None
    """Welch's one-sided p of the measured seeds being no worse than the claimed ones, where both have two or more."""
    same_seed_std: float | None = None
    """Pooled deviation of runs of one and the same seed, where a seed ran more than once."""
    tests: tuple[RowTest, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer of a re-run."""

    outcome: RunOutcome
    reasons: tuple[str, ...]
    """The first is what decided; the others are what else was seen, disputes named."""
    claims: tuple[Claim, ...] = ()
    statistics: Statistics | None = None
    seeds: tuple[SeedLine, ...] = ()

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return EXIT[self.outcome]
