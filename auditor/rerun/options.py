"""What the caller of a re-run asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

CAP_BYTES = 16_000_000
"""Code and artifact together, decimal."""
CLAIM_SEEDS = (42, 314, 2025)
TOY_SEEDS = (42,)
TOY_SECONDS = 60.0
"""Wall limit of one toy run."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds. Each budget is killed at its limit plus ``grace``.

    Counted are training, and evaluation after it (RULES.md: compile and warm-up steps before the training clock and
    serialisation after it are not). What is not counted must end some time too: ``other`` bounds start-up with
    warm-up, and again calibration with serialisation.
    """

    train: float = 600.0
    evaluation: float = 600.0
    grace: float = 120.0
    other: float = 900.0


@dataclass(frozen=True, slots=True)
class Options:
    """Of one re-run; see ``golf-audit rerun --help``."""

    gpus: int | None = None
    """Processes of the launch; None: as many as the machine has GPUs. 0: no GPU, the script started plainly."""
    seeds: tuple[int, ...] = ()
    data: Path | None = None
    keep: Path | None = None
    limits: TimeLimits = field(default_factory=TimeLimits)
    wheels: Path | None = None
    install: bool = True
    python: Path | None = None
    """Interpreter of the run; None: this one."""
    launcher: str = ""
    """``torchrun``, ``python`` or, empty, by the number of GPUs."""
    toy: bool = False
    unsandboxed: bool = False
    verbose: bool = False

    @property
    def asked_seeds(self) -> tuple[int, ...]:
        """The seeds to run, in order."""
        return self.seeds or (TOY_SEEDS if self.toy else CLAIM_SEEDS)
