"""Places as other tools want them: paths relative to the repository, severities, and what stands on a line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import PurePosixPath, PureWindowsPath

from auditor.core.types import AuditReport, Confidence, Finding, Kind, Place, RuleMeta, RuleResult, Ruling
from auditor.report.grouping import group


class Severity(IntEnum):
    """How much a finding matters, worst first."""

    REFUSED = 0
    """Ruled illegal, on integrity or limits, at high confidence."""
    LIKELY = 1
    """The same at lower confidence."""
    REVIEW = 2
    """Disputed, or not ruled on: a person decides."""
    FORM = 3
    """Packaging; never decides the verdict."""


_RANK = {Confidence.HIGH: 0, Confidence.MEDIUM: 1, Confidence.LOW: 2}


@dataclass(frozen=True, slots=True)
class Ranked:
    """One finding with its rule and its severity."""

    severity: Severity
    result: RuleResult
    finding: Finding
    meta: RuleMeta


def severity(meta: RuleMeta, finding: Finding) -> Severity:
    """The severity of a finding that counts against the submission."""
    if meta.kind is Kind.FORM:
        return Severity.FORM
    if meta.ruling is not Ruling.ILLEGAL:
        return Severity.REVIEW
    return Severity.REFUSED if finding.confidence is Confidence.HIGH else Severity.LIKELY


def ranked(report: AuditReport) -> list[Ranked]:
    """Every finding against the submission that no reason silences, the most important first.

    Among equals the first finding of each rule stands before the second of any, so that ten of them show ten rules.
    """
    keyed: list[tuple[tuple[int, int, int, int], Ranked]] = []
    groups = group(report)
    for order, result in enumerate((*groups.findings, *groups.form)):
        meta = report.rules[result.rule]
        best = sorted(result.findings, key=lambda f: _RANK[f.confidence])
        for number, finding in enumerate(best):
            one = Ranked(severity(meta, finding), result, finding, meta)
            keyed.append(((one.severity, number, _RANK[finding.confidence], order), one))
    return [one for _, one in sorted(keyed, key=lambda pair: pair[0])]


def file_of(at: Place) -> str:
    """The file that a place lies in, relative to the submission's folder."""
    if at.field is not None:
        return "submission.json"
    return at.file or at.log or ""


def in_repository(report: AuditReport, file: str) -> str:
    """``file`` of the submission relative to where the command was started, with forward slashes.

    Where the submission lies elsewhere, relative to its own folder: no path of the machine goes into a report.
    """
    base = report.submission.path.replace("\\", "/") if PureWindowsPath(report.submission.path).drive else (
        report.submission.path
    )  # fmt: skip
    outside = PurePosixPath(base).is_absolute() or PureWindowsPath(base).is_absolute() or ".." in base.split("/")
    parts = [] if outside else [part for part in base.split("/") if part not in ("", ".")]
    own = [part for part in file.split("/") if part not in ("", ".", "..")]
    return "/".join([*parts, *own])


def is_decoded(report: AuditReport, file: str) -> bool:
    """Whether lines of ``file`` are lines of a decoded text, which the shipped file does not have."""
    return report.submission.packed is not None and file == report.submission.script


def line_text(report: AuditReport, file: str, line: int | None) -> str | None:
    """The line itself, where the report carries it."""
    found = report.exhibits.excerpt(file, line) if line is not None else None
    return found.line(line) if found is not None and line is not None else None


def suppressed(report: AuditReport) -> Iterator[tuple[RuleResult, Finding, RuleMeta]]:
    """Findings that a recorded reason silences."""
    for result in group(report).suppressed:
        for finding in result.findings:
            yield result, finding, report.rules[result.rule]
