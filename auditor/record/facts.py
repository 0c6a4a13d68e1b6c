"""What the record witness knows after reading logs, metadata, README and file sizes: the values that rules read.

Every figure carries the log line that it stands on. Lines count from 1. Seconds are floats, bytes are ints, losses
are nats per token, ``val_bpb`` is bits per byte. A field that is ``None`` or empty was not found, which is never the
same as zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from auditor.core.types import Claim, Place, RecordReady


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its line and the decimals that it was printed with (None: an exponent or unknown format)."""

    value: float
    digits: int | None
    at: Place


BUDGET_SECONDS = 600.0
"""Of training, and again of evaluation, on eight H100."""
TRAIN_TOLERANCE = 0.2
"""The cap is tested after a step, so it overshoots by one (44 of 126 merged logs exceed 600 s, all by < 0.14 s)."""
EVAL_TOLERANCE = 1.0


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


@dataclass(frozen=True, slots=True)
class Unprintable:
    """A log line of a known family that no print call of the submitted code can have produced."""

    text: str
    kind: LineKind
    at: Place
    nearest: str | None
    """The closest template, when one shares the line's leading words."""
    same_words: str | None = None
    """The template that has all the line's words but not the formats of its figures."""


@dataclass(frozen=True, slots=True)
class MissingPrint:
    """An unconditional print call whose line a complete log lacks."""

    text: str
    at: Place
    """The print call in the source."""
    log: str


@dataclass(frozen=True, slots=True)
class EmbeddedSource:
    """The source text at the head of a log against the submitted script.

    ``changed`` counts differing lines after removal of comments, docstrings and blank lines; 0 means equal in code.
    """

    log: str
    first: int
    last: int
    identical: bool
    changed: int
    total: int
    sample: tuple[str, ...] = ()
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """Logs against the print calls of the code. ``checked`` is empty when no comparison was possible (``why``)."""

    calls: int = 0
    open_calls: int = 0
    """Calls whose text is not known at all (``print(line)``): with any of these beyond loggers, silence proves less."""
    checked: tuple[str, ...] = ()
    """Logs that were compared."""
    unprintable: tuple[Unprintable, ...] = ()
    missing: tuple[MissingPrint, ...] = ()
    matched: dict[str, int] = field(default_factory=dict)
    """Own-looking lines by log that some template matches."""
    own: dict[str, int] = field(default_factory=dict)
    """Own-looking lines by log."""
    executed: dict[str, frozenset[int]] = field(default_factory=dict)
    embedded: tuple[EmbeddedSource, ...] = ()
    why: str = ""


class Over(StrEnum):
    """How the artifact stands to the cap (RULES Part 6, item 4)."""

    UNDER = "under"
    OVER = "over"
    CONTESTED = "contested"
    NOTED = "noted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SizeFacts:
    """The artifact's size read in several ways, bytes; ``at`` gives the place of each by its field name.

    ``claimed``: submission.json or README. ``logged``: the largest last-logged total over the headline's seeds.
    ``shipped``: model + files the run needs, as shipped. ``packed``: model + those files compressed.
    """

    cap: int
    decision: Over
    why: str
    claimed: int | None = None
    logged: int | None = None
    model: int | None = None
    code_shipped: int | None = None
    code_packed: int | None = None
    shipped: int | None = None
    packed: int | None = None
    code_logged: int | None = None
    code_files: tuple[tuple[str, int], ...] = ()
    at: dict[str, Place] = field(default_factory=dict)
    inconsistent: tuple[tuple[str, Place], ...] = ()
    """Sizes that do not add up: (sentence, place)."""
    stated_over: tuple[tuple[str, int, Place], ...] = ()
    """Every logged total over the cap: (log, bytes, place)."""
    some_seeds_only: bool = False
    """Fewer than half of the headline's runs are over the cap, and what is stated is not."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """val_loss / (ln 2 x val_bpb) of one line: bytes per token of the text that was scored."""

    bytes_per_token: float
    tolerance: float
    """Half-width that the printed digits allow."""
    at: Place
    label: str


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """Consistency of the score. ``headline`` is what submission.json (else the README) states."""

    headline: float | None = None
    headline_digits: int | None = None
    headline_at: Place | None = None
    headline_loss: float | None = None
    logged_as: tuple[tuple[str, Place], ...] = ()
    """Evaluations (label, place) that state the headline, or whose mean over seeds is the headline."""
    how: str = ""
    """``one log``, ``mean of seeds``, ``not logged``, ``no logged score``, ``nothing stated``."""
    nearest: float | None = None
    scores: tuple[tuple[str, int | None, float, Place], ...] = ()
    """(log, seed, score, place): each run's score of the headline's kind."""
    mean: float | None = None
    std: float | None = None
    """Sample deviation, ddof 1."""
    ratios: tuple[Ratio, ...] = ()
    ratio: float | None = None
    """The common bytes per token, median."""
    ratio_breaks: tuple[Ratio, ...] = ()
    """Lines of the same run whose ratio cannot be the common one."""
    vocab: int | None = None
    expected_ratio: tuple[float, float] | None = None
    """Range that the stated vocabulary and the canonical validation text allow."""
    scored_bytes: float | None = None
    """val tokens x ratio: the denominator that the scores imply."""
    too_precise: tuple[tuple[str, Place], ...] = ()
    literal: tuple[Place, ...] = ()
    """Places in the code where the headline stands as a literal."""
    disagreements: tuple[tuple[str, Place], ...] = ()
    """submission.json, README and logs contradict each other: (sentence, place)."""


@dataclass(frozen=True, slots=True)
class SeedFacts:
    """Which seeds were run. ``stated`` from metadata or README, ``logged`` from the logs."""

    stated: tuple[int, ...] = ()
    logged: tuple[int, ...] = ()
    runs_with_score: int = 0
    duplicates: tuple[tuple[str, str, str, Place], ...] = ()
    """(log a, log b, sentence, place): two "seeds" that are one run."""
    config_differs: tuple[tuple[str, tuple[str, ...], Place], ...] = ()
    """(setting, values, place): hyper-parameters that change between seeds of one claim."""
    needed: int = 3
    count: int = 0
    """Seeds with evidence: distinct logged runs that give the headline's score."""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Test:
    """One one-sided test against a baseline. ``p`` is None when it could not be computed, ``why`` says why.

    ``p`` has the margin in it (README), ``p_without_margin`` has not (practice since 2026-04).
    """

    baseline: float
    baseline_std: float | None
    baseline_n: int | None
    baseline_name: str
    margin_nats: float
    p: float | None
    p_without_margin: float | None
    gain_bpb: float
    gain_nats: float | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class StatFacts:
    """Significance against the row to beat, under both readings in use (README p < 0.01, practice p < 0.25)."""

    tests: tuple[Test, ...] = ()
    claims_record: bool = False
    beats_frontier: bool | None = None
    frontier_name: str | None = None
    frontier_score: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class FormIssue:
    """A packaging fault. ``rule`` is the id of the form rule that reports it."""

    rule: str
    message: str
    at: Place
    confidence: str = "high"
    blocks: bool = True
    """Whether it keeps the submission from standing as a record row."""


@dataclass(frozen=True, slots=True)
class DataIssue:
    """A fingerprint of the data that differs from the official set: the rule's id, its strength, the sentence."""

    rule: str
    message: str
    at: Place
    confidence: str


@dataclass(frozen=True, slots=True)
class MismatchFacts:
    """Logs that the submitted code cannot have printed: stale (another version's) or invented?

    ``confidence`` is None unless signs that do not depend on the code's version speak of invention. ``unprintable``
    are the headline's and size lines that no string of the code fits; ``signs`` the other signs, as (sentence, place).
    """

    confidence: str | None = None
    unprintable: tuple[Unprintable, ...] = ()
    signs: tuple[tuple[str, Place], ...] = ()
    stale: tuple[tuple[str, Place], ...] = ()
    """Differences that another version of the script explains."""


@dataclass(frozen=True, slots=True)
class RecordFacts:
    """Everything that the record witness found."""

    runs: tuple[Run, ...] = ()
    headline_runs: tuple[str, ...] = ()
    """Names of the runs whose scores make the headline; when that cannot be told, all training runs."""
    templates: TemplateFacts = field(default_factory=TemplateFacts)
    mismatch: MismatchFacts = field(default_factory=MismatchFacts)
    sizes: SizeFacts | None = None
    metric: MetricFacts = field(default_factory=MetricFacts)
    seeds: SeedFacts = field(default_factory=SeedFacts)
    stats: StatFacts = field(default_factory=StatFacts)
    form: tuple[FormIssue, ...] = ()
    data: tuple[DataIssue, ...] = ()
    claims: tuple[Claim, ...] = ()
    ready: RecordReady = field(default_factory=lambda: RecordReady(None))
    notes: tuple[str, ...] = ()

    def run(self, log: str) -> Run | None:
        """The run named ``log`` (see `Run.name`)."""
        return next((run for run in self.runs if run.name == log), None)

    def judged(self) -> tuple[Run, ...]:
        """The runs that make the headline (`headline_runs`), all runs when none is known."""
        chosen = tuple(run for run in self.runs if run.name in self.headline_runs)
        return chosen or self.runs
