"""What the behaviour witness learned, as rules and reports see it: answers to the questions, and how far the run got.

Standard library only; nothing here needs torch or numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from auditor.core.exhibits import Picture
from auditor.core.types import Confidence, Outcome


class Question(StrEnum):
    """What is asked of every run."""

    PREFIX_INVARIANCE = "prefix-invariance"
    SCORE_BEFORE_UPDATE = "score-before-update"
    COVERAGE = "coverage"
    NORMALISATION = "normalisation"
    BYTE_ACCOUNTING = "byte-accounting"
    DATA_ACCESS = "data-access"
    ROUND_TRIP = "round-trip"


class Cause(StrEnum):
    """By which way, as the events show it, later tokens reached an earlier score."""

    TRAINED_BEFORE_PASS = "trained_before_pass"
    """Weights were trained on the tokens before the judged pass began."""
    TRAINED_IN_PASS = "trained_in_pass"
    """Weights or vectors were trained on the tokens inside the pass, before they were scored."""
    SCORED_BEFORE = "scored_before"
    """An earlier pass over the same tokens left something behind (a cache, statistics of scores)."""
    CALIBRATED = "calibrated"
    """The model ran over the tokens, without training or scoring them, before the artifact was written."""
    SAME_FORWARD = "same_forward"
    """Inside one forward call: the model, or a vector optimised on the slice, looks ahead."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Spot:
    """A line of the submission."""

    file: str
    line: int
    note: str = ""
    function: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One score in evidence: its position in the validation stream and its loss in nats in either run."""

    position: int
    first: float
    second: float


HABITS = "habits"
"""The stream of `auditor.behaviour.toyworld.habits`, made from the same world."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One proof: what was seen, where in the script, and numbers that a replay gives again."""

    confidence: Confidence
    message: str
    spot: Spot | None = None
    path: tuple[Spot, ...] = ()
    samples: tuple[Sample, ...] = ()
    cause: Cause = Cause.UNKNOWN
    witness_file: str | None = None
    figures: dict[str, float] = field(default_factory=dict)
    """Further numbers by name, with their unit in the name (``e_value``, ``stated_bpb``, ``true_bpb``, ...)."""
    stream: str = ""
    """The stream whose positions the samples name: empty for the validation stream itself, else `HABITS`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question got for an answer. ``CLEAR`` means asked on the judged pass, covered, and nothing found."""

    question: Question
    outcome: Outcome
    reason: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class PassInfo:
    """A pass over the validation stream, as the timeline and the report name it."""

    label: str
    """The printed line that it stands behind."""
    value: float
    """Printed loss in nats per token."""
    tokens: int
    distinct: int
    first_event: int
    last_event: int
    judged: bool
    how: str
    """How it was matched to the printed number (see `auditor.behaviour.passes.Pass.how`)."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline: a stretch of like events."""

    event: int
    """Number of its first event."""
    seconds: float
    """Virtual seconds since the start of the run."""
    what: str
    """``trained``, ``scored``, ``stepped``, ``printed``, ``read``, ``wrote``, ``spawned``, ``connected`` ..."""
    detail: str
    spot: Spot | None = None
    split: str = ""
    """``val``, ``train`` or empty."""
    tokens: int = 0
    low: int = -1
    """Lowest and highest stream position, -1 where none."""
    high: int = -1


@dataclass(frozen=True, slots=True)
class Smoke:
    """The smoke block: does it start, build, and learn a step? None: not tried or not known."""

    imports: bool | None = None
    builds: bool | None = None
    parameters: int | None = None
    """Of the full-size model under the launch settings, built without memory."""
    forward_backward: bool | None = None
    code_bytes: int | None = None
    seconds: float | None = None
    """Wall seconds of run A."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """Everything that the probe of one submission found out."""

    answers: dict[Question, Answer] = field(default_factory=dict)
    reached: bool = False
    """Whether run A came to the headline, or to its own end with a final evaluation."""
    failure: str = ""
    """Why not, in one line with the script's own place; empty when it did."""
    failure_spot: Spot | None = None
    headline: str = ""
    passes: tuple[PassInfo, ...] = ()
    timeline: tuple[Moment, ...] = ()
    changes: tuple[tuple[str, str, str, str], ...] = ()
    """Scaled-down knobs: (name, from, to, how)."""
    smoke: Smoke = Smoke()
    level: str = ""
    """Isolation in force: ``bubblewrap`` or ``none``."""
    stubbed: tuple[str, ...] = ()
    attempts: int = 1
    seconds: float = 0.0
    peak_bytes: int = 0
    notes: tuple[str, ...] = ()
    picture: Picture | None = None
    """Run A drawn; None where nothing was scored or trained on."""

    def answer(self, question: Question) -> Answer:
        """The answer to ``question``; ``unknown`` with the reason where the run did not get that far."""
        known = self.answers.get(question)
        if known is not None:
            return known
        return Answer(question, Outcome.UNKNOWN, self.failure or "the question was not reached")
