"""What the source witness knows about the metric and the model's causality: what class E, B3 and A8 read.

Filled by ``auditor.source.metric.analyse_metric``. Every fact carries the place that it stands on. An empty tuple
means "not seen in the code that could be followed"; ``MetricFacts.unread`` says what could not be followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from auditor.core.types import Confidence, PathStep


class Reach(StrEnum):
    """Whether the run gets to a place in the code."""

    USED = "used"
    """The scoring path of the entry script reaches it."""
    OFF = "off"
    """A setting in force switches it off."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ByteTable:
    """A table of bytes per token, worked out on a toy vocabulary. Counts are bytes per token."""

    file: str
    line: int
    function: str
    name: str
    plain: int | None
    """For a piece of three ASCII letters (right: 3)."""
    spaced: int | None
    """For the same with a leading U+2581: 3 leaves the space to the evaluation, 4 counts it, 6 counts its UTF-8."""
    byte_token: int | None
    """For a byte-fallback token (right: 1; 6 is the length of its name)."""
    accent: int | None
    """For a piece of one two-byte character (right: 2; 1 counts characters)."""
    unused_is_boundary: bool | None = None


@dataclass(frozen=True, slots=True)
class SpaceAdded:
    """One more byte is added for tokens with a leading space, on top of ``table``'s count."""

    file: str
    line: int
    function: str
    table: ByteTable
    path: tuple[PathStep, ...]


@dataclass(frozen=True, slots=True)
class ShippedByteTable:
    """A shipped side file with bytes per token. ``tripled``: single-byte tokens above 0x7F that are given 3 bytes."""

    file: str
    key: str
    tokens: int
    tripled: int
    proof: str
    """How the single-byte tokens are known: ``vocabulary`` (read from it) or ``order`` (by the table's own order)."""


@dataclass(frozen=True, slots=True)
class SidecarUse:
    """Per-token byte counts read from a side file replace the table. ``guard``: the condition, as text."""

    file: str
    line: int
    guard: str
    reach: Reach
    why: str


@dataclass(frozen=True, slots=True)
class FixedBytes:
    """The denominator is tokens times a constant."""

    file: str
    line: int
    text: str
    value: float


@dataclass(frozen=True, slots=True)
class ScaledLoss:
    """A scored loss is multiplied by a constant other than one before it is reported."""

    file: str
    line: int
    text: str
    factor: float
    reach: Reach = Reach.UNKNOWN


@dataclass(frozen=True, slots=True)
class LocalScore:
    """The score that is printed holds only this rank's part: no reduction over ranks between sum and print."""

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class TargetGate:
    """A hint or its weight is chosen by a property of the token that is being scored.

    ``weights``: (setting, value in force or None, where the value stands) of the strengths that scale the gated hint.
    """

    file: str
    line: int
    function: str
    what: str
    path: tuple[PathStep, ...]
    reach: Reach
    why: str
    weights: tuple[tuple[str, float | None, str], ...] = ()


@dataclass(frozen=True, slots=True)
class NonCausal:
    """A place in the model where a later position can reach an earlier one's score."""

    file: str
    line: int
    end_line: int
    column: int
    function: str
    what: str
    confidence: Confidence
    path: tuple[PathStep, ...]
    reach: Reach = Reach.UNKNOWN


@dataclass(frozen=True, slots=True)
class LossyText:
    """Text is normalised so that the original bytes cannot be had back (case folding, NFKC)."""

    file: str
    line: int
    call: str
    what: str


@dataclass(frozen=True, slots=True)
class SmearGate:
    """Each position takes in the previous position's embedding. ``masked``: document starts are left out."""

    file: str
    line: int
    function: str
    masked: bool
    reach: Reach
    why: str = ""


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """All of it. ``complete`` is False when a budget ran out."""

    tables: tuple[ByteTable, ...] = ()
    space_added: tuple[SpaceAdded, ...] = ()
    shipped: tuple[ShippedByteTable, ...] = ()
    sidecars: tuple[SidecarUse, ...] = ()
    fixed: tuple[FixedBytes, ...] = ()
    scaled: tuple[ScaledLoss, ...] = ()
    local: tuple[LocalScore, ...] = ()
    gates: tuple[TargetGate, ...] = ()
    noncausal: tuple[NonCausal, ...] = ()
    lossy: tuple[LossyText, ...] = ()
    smear: tuple[SmearGate, ...] = ()
    complete: bool = True
    unread: tuple[str, ...] = ()
