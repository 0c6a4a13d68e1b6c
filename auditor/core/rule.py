"""What a rule is: metadata, a docstring with fixed headings, examples, and up to four checks.

A rule lives in one file of the package ``rules``; the file name with underscores for hyphens is its id. A check
that a rule does not override means ``not_applicable`` for that witness; a check that raises means ``error``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from auditor.core.types import Finding, Kind, Outcome, RuleMeta, Ruling, Witness

if TYPE_CHECKING:
    from auditor.core.submission import Submission

HEADINGS = ("What it does", "Why it is not allowed", "How to fix it", "Known limits", "Authority")


@dataclass(frozen=True, slots=True)
class Example:
    """A tiny submission folder for a rule's tests.

    ``files`` maps paths to texts; a key ``train_gpt.py`` is the entry. Lines that must be reported end in a comment
    ``# [rule-id]`` (source) or are named in ``expect`` as ``file:line`` or ``submission.json: field``. ``misses``
    says in one sentence why a violation here is knowingly not reported (then nothing may be).
    """

    name: str
    files: dict[str, str]
    expect: tuple[str, ...] = ()
    outcome: Outcome | None = None
    """For examples whose point is another outcome than found/clear, such as ``unknown``."""
    misses: str = ""


@dataclass(frozen=True, slots=True)
class Ruled:
    """What a check answers: outcome, one sentence, findings."""

    outcome: Outcome
    reason: str
    findings: tuple[Finding, ...] = field(default=())

    @staticmethod
    def found(findings: list[Finding], reason: str) -> Ruled:
        """``found`` with at least one finding; without any it is a programming error."""
        if not findings:
            raise ValueError("found without a finding")
        return Ruled(Outcome.FOUND, reason, tuple(findings))

    @staticmethod
    def clear(reason: str) -> Ruled:
        """Looked at and covered, nothing found."""
        return Ruled(Outcome.CLEAR, reason)

    @staticmethod
    def unknown(reason: str) -> Ruled:
        """Could not be decided; never a pass."""
        return Ruled(Outcome.UNKNOWN, reason)

    @staticmethod
    def not_applicable(reason: str) -> Ruled:
        """The question does not arise for this submission."""
        return Ruled(Outcome.NOT_APPLICABLE, reason)


class Rule:
    """Base of all rules; subclasses live in ``rules/``, one per file.

    Class docstring: the headings of `HEADINGS`, each followed by its text. For legal patterns the second heading
    reads "Why it is allowed".
    """

    title: ClassVar[str]
    ruling: ClassVar[Ruling]
    kind: ClassVar[Kind]
    authority: ClassVar[str]
    """Who said so and where, one line: ``valerio-oai on #462 [M*]; README O9 [M]``."""
    since: ClassVar[str]
    """ISO date from which the ruling holds."""
    VALID: ClassVar[list[Example]] = []
    INVALID: ClassVar[list[Example]] = []

    def check_source(self, submission: Submission, facts: Any) -> Ruled:
        """Judge by ``auditor.source.facts.SourceFacts``."""
        return Ruled.not_applicable("this rule asks nothing of the source witness")

    def check_record(self, submission: Submission, facts: Any) -> Ruled:
        """Judge by ``auditor.record.facts.RecordFacts``."""
        return Ruled.not_applicable("this rule asks nothing of the record witness")

    def check_trace(self, submission: Submission, facts: Any) -> Ruled:
        """Judge by the behaviour witness's trace."""
        return Ruled.not_applicable("this rule asks nothing of the behaviour witness")

    def check_rerun(self, submission: Submission, facts: Any) -> Ruled:
        """Judge by ``auditor.rerun.witness_facts.RerunFacts``."""
        return Ruled.not_applicable("this rule asks nothing of the rerun witness")

    def covers(self, witness: Witness) -> bool:
        """Whether this rule overrides the check of ``witness``."""
        name = _CHECKS[witness]
        return getattr(type(self), name) is not getattr(Rule, name)

    def check(self, witness: Witness, submission: Submission, facts: Any) -> Ruled:
        """Run the check of ``witness``."""
        method: Callable[[Submission, Any], Ruled] = getattr(self, _CHECKS[witness])
        return method(submission, facts)

    @classmethod
    def id(cls) -> str:
        """The rule's id: its module's file name, hyphens for underscores."""
        return cls.__module__.rpartition(".")[2].replace("_", "-")

    @classmethod
    def meta(cls) -> RuleMeta:
        """Metadata with the docstring's sections."""
        parts = sections(inspect.getdoc(cls) or "")
        return RuleMeta(
            id=cls.id(), title=cls.title, ruling=cls.ruling, kind=cls.kind, authority=cls.authority, since=cls.since,
            what=parts.get("What it does", ""),
            why=parts.get("Why it is not allowed", parts.get("Why it is allowed", "")),
            fix=parts.get("How to fix it", ""), limits=parts.get("Known limits", ""),
        )


_CHECKS = {
    Witness.SOURCE: "check_source",
    Witness.RECORD: "check_record",
    Witness.BEHAVIOUR: "check_trace",
    Witness.RERUN: "check_rerun",
}


def sections(doc: str) -> dict[str, str]:
    """Split a docstring into its headed sections; a heading is a line of its own ending in a colon."""
    found: dict[str, str] = {}
    for match in re.finditer(r"^([A-Z][^\n:]*):\n(.*?)(?=^[A-Z][^\n:]*:\n|\Z)", doc, re.M | re.S):
        found[match.group(1)] = " ".join(match.group(2).split())
    return found
