"""What a page needs to show evidence: pictures of a run, curves, bars, and lines of source. Bounded values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAX_BLOCKS = 900
"""Rectangles of one picture."""


class Mark(StrEnum):
    """What a run did with a stretch of tokens."""

    TRAIN_DATA = "train_data"
    """Trained on tokens that are not of the validation stream."""
    SCORED = "scored"
    """Scored, but not for the number that is judged: a diagnostic, a forward pass of training."""
    JUDGED = "judged"
    """Scored for the judged number."""
    TRAINED_BEFORE = "trained_before"
    """Validation tokens trained on before the judged score of theirs was taken."""
    TRAINED_AFTER = "trained_after"
    """Validation tokens trained on after their judged score, or never judged."""
    UNDONE = "undone"
    """Trained on before their score, and the weights were put back in between."""


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle of the picture: moments ``[t0, t1)``, stream positions ``[p0, p1)`` (both 0: not of the stream)."""

    mark: Mark
    t0: int
    t1: int
    p0: int = 0
    p1: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """The toy run as a timeline: what was scored and trained on, when, and where in the validation stream.

    Moments are numbers of scoring and training events, in their order. Spans are ``[first, last)`` stream positions.
    """

    moments: int
    tokens: int
    """Length of the toy validation stream."""
    blocks: tuple[Block, ...] = ()
    events: tuple[tuple[int, str], ...] = ()
    """(moment, what happened just before it): the artifact written, the judged line printed."""
    counts: tuple[tuple[Mark, int], ...] = ()
    """Tokens by mark, a token counted each time."""
    run_b: str = ""
    """Why and where the compared run's stream differs; empty: no other run was compared."""
    cut_moment: int | None = None
    """Scores taken before this moment must be the same in both runs."""
    changed: tuple[tuple[int, int], ...] = ()
    """Spans of tokens that are others in the second run: all are scored after the cut."""
    compared: int = 0
    differing: int = 0
    """Scores before the cut that differ between the runs."""
    differing_at: tuple[tuple[int, int], ...] = ()
    """Spans in which they lie."""
    stand_in: bool = False
    """The judged number is the mean of no recorded scores: those marked as judged are the last before it."""
    left_out: str = ""
    """What is drawn coarser than it was, or not at all."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity of one log over training steps or chunks."""

    name: str
    """The log, as reports name it."""
    quantity: str
    """``train_loss`` (nats per token), ``val_bpb`` (bits per byte), ``ttt_bpb`` (bits per byte, by chunk)."""
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the artifact's bytes."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class ByteBar:
    """The artifact by part, against the cap; ``totals`` are whole sizes stated or logged elsewhere."""

    cap: int
    parts: tuple[Part, ...] = ()
    totals: tuple[Part, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """Seconds of one phase of one run, and the budget that they count against (None: none of its own)."""

    run: str
    phase: str
    seconds: float
    budget: float | None = None


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Consecutive lines of a file (decoded text where it was packed); ``first`` is the number of the first."""

    file: str
    first: int
    lines: tuple[str, ...]

    def line(self, number: int) -> str | None:
        """Line ``number``, or None where the excerpt does not hold it."""
        at = number - self.first
        return self.lines[at] if 0 <= at < len(self.lines) else None


@dataclass(frozen=True, slots=True)
class Exhibits:
    """Everything beside the results that a page shows; each may be empty."""

    curves: tuple[Curve, ...] = ()
    finals: tuple[tuple[str, str, float], ...] = ()
    """(log, label, bits per byte) of evaluations after training, in the order of the logs."""
    bytes: ByteBar | None = None
    phases: tuple[PhaseTime, ...] = ()
    excerpts: tuple[Excerpt, ...] = ()

    def excerpt(self, file: str, line: int) -> Excerpt | None:
        """The excerpt that holds ``line`` of ``file``."""
        return next((e for e in self.excerpts if e.file == file and e.line(line) is not None), None)
