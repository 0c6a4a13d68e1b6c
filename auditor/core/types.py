"""The vocabulary of a report: rulings, outcomes, findings, claims and the report itself.

Everything here is an immutable value. Nothing reads a file or imports a third-party package.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from auditor.core.exhibits import Exhibits, Picture
from auditor.core.rerun import RerunInfo


class Ruling(StrEnum):
    """What the competition's authorities say of a pattern."""

    ILLEGAL = "illegal"
    DISPUTED = "disputed"
    LEGAL = "legal"
    UNRULED = "unruled"


class Kind(StrEnum):
    """What a rule protects: the score (integrity), a budget (limit) or the packaging (form)."""

    INTEGRITY = "integrity"
    LIMIT = "limit"
    FORM = "form"


class Outcome(StrEnum):
    """What one witness says about one rule. Only ``CLEAR`` means "looked at, covered, not found"."""

    FOUND = "found"
    CLEAR = "clear"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not_applicable"
    ERROR = "error"


class Confidence(StrEnum):
    """How sure a finding is of its fact (not how bad the fact is)."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Witness(StrEnum):
    """The four ways to learn something about a submission."""

    SOURCE = "source"
    RECORD = "record"
    BEHAVIOUR = "behaviour"
    RERUN = "rerun"


class Verdict(StrEnum):
    """The four answers of an audit. There is no "legal" among them."""

    NON_COMPLIANT = "non_compliant"
    NEEDS_REVIEW = "needs_review"
    INCONCLUSIVE = "inconclusive"
    NO_VIOLATION_FOUND = "no_violation_found"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a finding points: a line of source, a line of a log, or a field of submission.json.

    Exactly one of ``file``, ``log`` and ``field`` is set. Lines count from 1, columns from 0. Lines of a packed
    script are lines of its decoded text.
    """

    file: str | None = None
    log: str | None = None
    field: str | None = None
    line: int | None = None
    end_line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """Render as ``name:line`` or ``submission.json: field``."""
        if self.field is not None:
            return f"submission.json: {self.field}"
        name = self.file or self.log or "?"
        return f"{name}:{self.line}" if self.line is not None else name


@dataclass(frozen=True, slots=True)
class PathStep:
    """One step of a source-to-sink path, with the sentence that explains it."""

    file: str
    line: int
    note: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of evidence: how sure, what, where, and by which steps."""

    confidence: Confidence
    message: str
    at: Place
    path: tuple[PathStep, ...] = ()
    witness_file: str | None = None
    samples: tuple[tuple[int, float, float], ...] = ()
    """Of a behaviour witness: (position in the validation stream, loss in nats in the first run, in the second)."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """A finding that a recorded reason silences; it stays listed and counted."""

    rule: str
    reason: str
    recorded_at: Place


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What one witness says about one rule, and why."""

    rule: str
    witness: Witness
    outcome: Outcome
    reason: str
    findings: tuple[Finding, ...] = ()
    suppressed: Suppression | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure that the submission states, with where, and what was measured instead (None: not measured)."""

    kind: str
    stated: float | int | str | None
    where: Place
    measured: float | int | str | None = None
    how: str | None = None


@dataclass(frozen=True, slots=True)
class RuleMeta:
    """The part of a rule that the verdict and the reports need."""

    id: str
    title: str
    ruling: Ruling
    kind: Kind
    authority: str
    since: str
    """ISO date from which the ruling holds."""
    what: str = ""
    why: str = ""
    fix: str = ""
    limits: str = ""


@dataclass(frozen=True, slots=True)
class RecordReady:
    """Could the submission stand as a record row? ``None``: it does not claim to, or that cannot be told."""

    ready: bool | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackedInfo:
    """How a self-extracting script was wrapped."""

    layers: tuple[str, ...]
    bytes_shipped: int
    bytes_decoded: int


@dataclass(frozen=True, slots=True)
class SubmissionInfo:
    """The submission as the report names it."""

    path: str
    track: str | None
    script: str | None
    script_sha256: str | None
    packed: PackedInfo | None = None


@dataclass(frozen=True, slots=True)
class SmokeInfo:
    """Does the submission start, build and learn a step? None: not tried, or not known."""

    imports: bool | None = None
    builds: bool | None = None
    parameters: int | None = None
    """Of the full-size model under the launch settings that are known."""
    forward_backward: bool | None = None
    """At toy size."""
    code_bytes: int | None = None
    seconds: float | None = None
    """Wall seconds of the first toy run."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BehaviourInfo:
    """What the behaviour witness did, or why it did nothing (``not_run``)."""

    not_run: str = "it was not asked for"
    """Why nothing was executed; empty when it was."""
    level: str = ""
    """Isolation in force: ``bubblewrap`` or ``none``."""
    reached: bool = False
    failure: str = ""
    """Where and why the toy run ended before its score, in one line."""
    headline: str = ""
    """The printed line that was judged."""
    attempts: int = 0
    toy_settings: int = 0
    """How many settings were scaled down."""
    passes: int = 0
    """Passes over the validation stream behind printed numbers."""
    answers: tuple[tuple[str, Outcome, str], ...] = ()
    """(question, outcome, reason)."""
    witness_files: tuple[str, ...] = ()
    """Files written, as given by the caller's folder."""
    seconds: float = 0.0
    peak_bytes: int = 0
    smoke: SmokeInfo = SmokeInfo()
    picture: Picture | None = None
    """What the run scored and trained on, and when; None where nothing ran."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Everything that a renderer needs; made by the engine, consumed by ``auditor.report``."""

    tool_version: str
    edition: str
    submission: SubmissionInfo
    verdict: Verdict
    complete: bool
    record_ready: RecordReady
    results: tuple[RuleResult, ...]
    claims: tuple[Claim, ...]
    rules: dict[str, RuleMeta] = field(default_factory=dict)
    witnesses_run: tuple[Witness, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences on coverage: what was read, under which settings, what could not be covered."""
    settings: tuple[tuple[str, str, str], ...] = ()
    """Launch settings in force: (name, value, origin)."""
    verdict_reason: str = ""
    behaviour: BehaviourInfo = BehaviourInfo()
    exhibits: Exhibits = field(default_factory=Exhibits)
    """Curves, bars and lines of source for the formats that show them."""
    rerun: RerunInfo | None = None
    """The re-run whose record was heard; None where none was."""
