"""What the record witness knows after reading logs, metadata, README and file sizes: the values that rules read.

Every figure carries the log line that it stands on. Lines count from 1. Seconds are floats, bytes are ints, losses
are nats per token, ``val_bpb`` is bits per byte. A field that is ``None`` or empty was not found, which is never the
same as zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from auditor.core.types import Claim, Place, RecordReady
from auditor.record.logfacts import (
    ByteTotal,
    Calibration,
    Evaluation,
    Figure,
    Hardware,
    LineKind,
    NgramGates,
    Phase,
    PhaseTimes,
    Run,
    Size,
    SizeKind,
    Step,
    Stop,
    TttLine,
)

__all__ = [
    "BUDGET_SECONDS",
    "EVAL_TOLERANCE",
    "TRAIN_TOLERANCE",
    "ByteTotal",
    "Calibration",
    "DataIssue",
    "EmbeddedSource",
    "Evaluation",
    "Figure",
    "FormIssue",
    "Hardware",
    "LineKind",
    "MetricFacts",
    "MismatchFacts",
    "MissingPrint",
    "NgramGates",
    "Over",
    "Phase",
    "PhaseTimes",
    "Ratio",
    "RecordFacts",
    "Run",
    "SeedFacts",
    "Size",
    "SizeFacts",
    "SizeKind",
    "StatFacts",
    "Step",
    "Stop",
    "TemplateFacts",
    "Test",
    "TttLine",
    "Unprintable",
]

BUDGET_SECONDS = 600.0
"""Of training, and again of evaluation, on eight H100."""
TRAIN_TOLERANCE = 0.2
"""The cap is tested after a step, so it overshoots by one (44 of 126 merged logs exceed 600 s, all by < 0.14 s)."""
EVAL_TOLERANCE = 1.0


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
