"""What a re-run measured: hardware, seeds, phases, scores. Made by the harness, compared with the claims afterwards.

Seconds are of the harness's own monotonic clock, counted from the launch of a seed; bytes are ints; losses are nats per
token, ``bpb`` bits per byte. A field that is ``None`` was not measured, which is never the same as zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RunOutcome(StrEnum):
    """The closed set of answers of a re-run."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not_reproduced"
    INCONCLUSIVE = "inconclusive"
    """The hardware is not equivalent, too few seeds ran, or nothing is claimed."""
    OVER_CAP = "over_cap"
    OVER_TIME = "over_time"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    """Killed at limit and grace."""
    SETUP_FAILED = "setup_failed"
    HARNESS_FAILED = "harness_failed"


class SeedEnd(StrEnum):
    """How one seed's run ended."""

    FINISHED = "finished"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    """By the person, or by the death of the harness: it is run again."""


class PhaseKind(StrEnum):
    """What a span of a run was spent on."""

    START = "start-up"
    WARM_UP = "warm-up"
    TRAIN = "train"
    CALIBRATION = "calibration"
    SERIALISE = "serialise"
    EVALUATION = "evaluation"
    END = "end"


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """One span; those of a seed follow each other without a gap from its launch to its end."""

    kind: PhaseKind
    name: str
    """The kind, or for an evaluation its label in the log."""
    start: float
    end: float
    because: str = ""
    """What marked its beginning: a log line, or a file event."""


@dataclass(frozen=True, slots=True)
class MeasuredScore:
    """One score that the run printed."""

    label: str
    bpb: float
    loss: float | None
    line: int
    """Of the raw log, from 1."""
    seconds: float
    """When it was printed."""


@dataclass(frozen=True, slots=True)
class SeedRun:
    """One seed's run, as measured."""

    seed: int | None
    end: SeedEnd
    exit_status: int | None
    seconds: float
    """From launch to end."""
    phases: tuple[PhaseSpan, ...] = ()
    scores: tuple[MeasuredScore, ...] = ()
    headline: MeasuredScore | None = None
    """The score that stands for the claimed one."""
    steps: int | None = None
    tokens: int | None = None
    artifact: str | None = None
    """The file that was taken as the artifact, relative to the run's folder."""
    artifact_bytes: int | None = None
    code_bytes: int | None = None
    train_seconds: float | None = None
    """Of the harness's clock: the phases that a rule reading of RULES.md counts as training."""
    eval_seconds: float | None = None
    """Of the harness's clock: what the score needs, inside the script's own timers where it states them."""
    train_seconds_strict: float | None = None
    """With calibration after the training clock."""
    eval_seconds_strict: float | None = None
    """With diagnostics, time outside the script's timers, and the warm-up of the evaluation."""
    stated_train_seconds: float | None = None
    """As the script's own log says."""
    stated_eval_seconds: float | None = None
    peak_gpu_bytes: int | None = None
    """The most that any one GPU held."""
    mean_gpu_watts: float | None = None
    """Of all GPUs together, in the mean over the run."""
    reason: str = ""
    """Of an end other than finished: the line that tells why."""
    log: str = ""
    """The raw log, relative to the record's folder."""

    @property
    def bytes_total(self) -> int | None:
        """Artifact and code together; None where either was not measured."""
        if self.artifact_bytes is None or self.code_bytes is None:
            return None
        return self.artifact_bytes + self.code_bytes


@dataclass(frozen=True, slots=True)
class Hardware:
    """On what was run."""

    gpus: tuple[str, ...] = ()
    gpu_memory_bytes: int | None = None
    """Of one of them."""
    driver: str = ""
    torch: str = ""
    processes: int = 1
    toy: bool = False
    """Toy world on a CPU: no claim can be settled by it."""

    @property
    def equivalent(self) -> bool:
        """The competition's machine: eight H100 (SXM, 80 GB), eight processes."""
        return not self.toy and self.processes == 8 and len(self.gpus) == 8 and all(_is_h100(n) for n in self.gpus)


@dataclass(frozen=True, slots=True)
class RerunRecord:
    """Everything of one re-run that another machine can read again."""

    tool_version: str
    started: str
    """ISO 8601, UTC."""
    submission: str
    script: str
    script_sha256: str
    hardware: Hardware
    settings: tuple[tuple[str, str, str], ...]
    """Launch settings in force: (name, value, origin)."""
    asked_seeds: tuple[int, ...]
    limit_train: float
    limit_eval: float
    grace: float
    cap_bytes: int
    seeds: tuple[SeedRun, ...] = ()
    setup_error: str = ""
    harness_error: str = ""
    folder: str = ""
    """Where the record lies; not part of it."""
    notes: tuple[str, ...] = ()
    isolation: str = ""
    """``bubblewrap`` or ``none``."""
    limit_other: float = 900.0
    """Of start-up with warm-up, and again of calibration with serialisation: not counted, but bounded."""


def _is_h100(name: str) -> bool:
    """Of the names that nvidia-smi gives: the PCIe and NVL forms are other machines."""
    return "H100" in name and "PCIe" not in name and "NVL" not in name and "GH" not in name
