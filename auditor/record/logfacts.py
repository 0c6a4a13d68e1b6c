"""What one log says, read line by line: each figure with its place and precision, and the run that they make."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from auditor.core.types import Place


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its line and the decimals that it was printed with (None: an exponent or unknown format)."""

    value: float
    digits: int | None
    at: Place


class LineKind(StrEnum):
    """What a log line is; ``OTHER`` lines are not the script's own families and accuse nobody."""

    SOURCE = "source"
    """Echo of the script's own text at the head of the log."""
    NOISE = "noise"
    """Launcher, driver, warning, traceback, progress-bar and installer lines."""
    TRAIN_STEP = "train_step"
    VAL_STEP = "val_step"
    STOP = "stop"
    SIZE = "size"
    EVALUATION = "evaluation"
    VAL_TOKENS = "val_tokens"
    TRAIN_DATA = "train_data"
    SEED = "seed"
    SETTING = "setting"
    PARAMS = "params"
    CALIBRATION = "calibration"
    TTT = "ttt"
    WARMUP = "warmup"
    MEMORY = "memory"
    EVAL_TIME = "eval_time"
    NGRAM = "ngram"
    BYTES = "bytes"
    OTHER = "other"


class Phase(StrEnum):
    """Where in a run a line stands, told by the lines before it."""

    SETUP = "setup"
    TRAIN = "train"
    AFTER_TRAIN = "after_train"
    """After the training clock stopped: averaging, calibration, serialisation, evaluation."""


@dataclass(frozen=True, slots=True)
class Step:
    """``step:i/N train_loss:...``: one logged training step. ``train_seconds`` is the training clock."""

    step: int
    of: int | None
    train_loss: float
    train_seconds: float | None
    at: Place


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A line that states a validation score.

    ``label`` is the text before the first figure (``final_int8_zlib_roundtrip_exact``, ``step``); ``step`` is set for
    validation inside training. ``diagnostic``: its own words say that it is none of the submission's scores.
    """

    label: str
    val_loss: Figure | None
    val_bpb: Figure | None
    eval_seconds: float | None
    step: int | None
    diagnostic: bool
    at: Place


@dataclass(frozen=True, slots=True)
class Stop:
    """``stopping_early: wallclock_cap ...`` or, ``early`` False, the last step that states a training time."""

    train_seconds: float
    step: int
    of: int | None
    early: bool
    at: Place


class SizeKind(StrEnum):
    """What a logged size measures."""

    RAW_MODEL = "raw_model"
    """Uncompressed weights: always huge, never counted."""
    MODEL = "model"
    CODE = "code"
    CODE_COMPRESSED = "code_compressed"
    TOTAL = "total"
    RAW_TOTAL = "raw_total"


@dataclass(frozen=True, slots=True)
class Size:
    """A logged size in bytes. ``label`` names the compression (``int8+zlib``), empty when the line has none."""

    kind: SizeKind
    label: str
    bytes: int
    at: Place


@dataclass(frozen=True, slots=True)
class Calibration:
    """A line on GPTQ/Hessian/AWQ calibration.

    ``source`` is what the line says the statistics come from: ``train``, ``val``, ``generated``, ``random``,
    ``held-out`` (of which split it does not say) or None.
    ``seconds`` is the stated duration. ``after_clock``: the training clock had stopped before this line.
    """

    text: str
    source: str | None
    seconds: float | None
    count: int | None
    after_clock: bool
    at: Place


@dataclass(frozen=True, slots=True)
class TttLine:
    """A line of test-time training. ``stage``: ``start``, ``epoch``, ``chunk``, ``warmup``, ``done``, ``line``.

    ``before_quant``: no quantised artifact had been reported yet when it was printed.
    """

    stage: str
    text: str
    epoch: int | None
    epochs: int | None
    chunk: int | None
    chunks: int | None
    loss: float | None
    bpb: float | None
    seconds: float | None
    before_quant: bool
    at: Place


@dataclass(frozen=True, slots=True)
class NgramGates:
    """``... within_gate=N word_gate=N agree_gate=N``: how many hints each gate let through, by gate name."""

    gates: dict[str, int]
    text: str
    at: Place


@dataclass(frozen=True, slots=True)
class ByteTotal:
    """A line that states how many bytes the validation text has. ``name`` is the word before the figure."""

    name: str
    value: int
    text: str
    at: Place


@dataclass(frozen=True, slots=True)
class PhaseTimes:
    """Seconds of one run by phase; None where the log does not say.

    ``train`` is the training clock at its stop. ``calibration`` is the sum of stated calibration times after the
    clock. ``evals`` are the evaluations that the score needs, (label, seconds, place); ``diagnostics`` those that it
    does not. ``eval_total`` is what the log itself states as the whole (``total_eval_time``).
    """

    train: float | None
    train_at: Place | None
    budget: float | None
    """``max_wallclock_seconds`` in force, when logged."""
    reserve: float | None
    """``gptq_reserve_seconds`` or alike, when logged."""
    calibration: float | None
    calibration_at: Place | None
    serialisation: float | None
    evals: tuple[tuple[str, float, Place], ...] = ()
    diagnostics: tuple[tuple[str, float, Place], ...] = ()
    eval_total: Figure | None = None
    compile_warmup: float | None = None
    eval_needed: float | None = None
    """Seconds of evaluation that count against the budget, by the reading of ``auditor.record.times``."""
    eval_at: Place | None = None


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the log says it ran on. ``gpus`` counts devices in use; ``equivalent``: 8xH100 (None: not told)."""

    name: str | None
    gpus: int | None
    world_size: int | None
    equivalent: bool | None
    at: Place | None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a log, read line by line. ``kinds[i]`` classifies line ``first_line + i``.

    A log usually holds one run (``part`` 0); where the step count starts again after a final score, the next begins.
    """

    log: str
    part: int
    first_line: int
    last_line: int
    seed: int | None
    seed_at: Place | None
    is_training: bool
    """It has step lines or a stop: a training run, not an eval-only log, a note or a pip list."""
    kinds: tuple[LineKind, ...]
    phases: tuple[Phase, ...]
    steps: tuple[Step, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    stop: Stop | None = None
    sizes: tuple[Size, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    ttt: tuple[TttLine, ...] = ()
    gates: tuple[NgramGates, ...] = ()
    byte_totals: tuple[ByteTotal, ...] = ()
    val_tokens: tuple[Figure, ...] = ()
    train_shards: tuple[Figure, ...] = ()
    train_paths: tuple[tuple[str, Place], ...] = ()
    settings: dict[str, tuple[str, Place]] = field(default_factory=dict)
    """Hyper-parameters that the log states, by name: (text, place); the last statement wins."""
    params: Figure | None = None
    run_id: str | None = None
    times: PhaseTimes | None = None
    hardware: Hardware | None = None
    peak_memory_mib: Figure | None = None
    tracebacks: tuple[Place, ...] = ()

    @property
    def name(self) -> str:
        """``log`` for the only run of a log, ``log#2`` for its second."""
        return self.log if self.part == 0 else f"{self.log}#{self.part + 1}"

    def last_size(self, kind: SizeKind) -> Size | None:
        """The last logged size of ``kind`` (the one that counts), or None."""
        return next((size for size in reversed(self.sizes) if size.kind is kind), None)

