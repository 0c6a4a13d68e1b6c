"""What a report says of a re-run: outcome, reasons, each seed stated against measured, the tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RerunSeed:
    """One re-run seed; scores in bits per byte, times in seconds. None: not stated, or not measured."""

    seed: int | None
    end: str
    """``finished``, ``crashed``, ..."""
    stated: float | None
    measured: float | None
    bytes_total: int | None
    train_seconds: float | None
    eval_seconds: float | None
    steps: int | None


@dataclass(frozen=True, slots=True)
class RerunInfo:
    """The re-run whose record was heard."""

    outcome: str
    reasons: tuple[str, ...]
    """The first is what decided."""
    started: str
    """ISO 8601."""
    machine: str
    equivalent: bool
    """Whether it is the competition's machine."""
    seeds: tuple[RerunSeed, ...] = ()
    tests: tuple[str, ...] = ()
    """Spread, tolerance and significance, in sentences."""
