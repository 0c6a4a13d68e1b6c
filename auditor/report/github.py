"""GitHub workflow commands: a summary notice, then one annotation for each finding, the most important first.

GitHub shows ten annotations of each level for a step, so the order decides what is seen. Whatever a submission wrote
stays on the line and inside the annotation that it was put into.
"""

from __future__ import annotations

from collections.abc import Iterator

from auditor.core.text import plain
from auditor.core.types import AuditReport, Outcome, Verdict
from auditor.report.grouping import HEADLINES, gaps_by_reason, group, ready_line
from auditor.report.places import Ranked, Severity, file_of, in_repository, is_decoded, ranked

SHOWN = 10
"""Annotations of one level that GitHub shows for one step."""
MESSAGE = 900
_COMMANDS = {
    Severity.REFUSED: "error", Severity.LIKELY: "warning", Severity.REVIEW: "warning", Severity.FORM: "notice",
}  # fmt: skip
_WORDS = {
    Severity.REFUSED: "ruled illegal", Severity.LIKELY: "ruled illegal, not certain", Severity.REVIEW: "for review",
    Severity.FORM: "form, never decides",
}  # fmt: skip


def render(report: AuditReport) -> str:
    """The commands, one to a line."""
    return "".join(f"{line}\n" for line in (_summary(report), *_annotations(report), *_gaps(report)))


def command(name: str, message: str, **properties: str | int | None) -> str:
    """One workflow command. ``message`` and the properties are made safe; those that are None are left out."""
    given = ",".join(f"{key}={_property(value)}" for key, value in properties.items() if value is not None)
    return f"::{name}{' ' if given else ''}{given}::{_data(message)}"


def _summary(report: AuditReport) -> str:
    found = ranked(report)
    counts = ", ".join(
        f"{count} {_WORDS[level]}" for level in Severity if (count := sum(one.severity is level for one in found))
    )
    cut = [name for name in ("error", "warning", "notice")
           if sum(_COMMANDS[one.severity] == name for one in found) > SHOWN]  # fmt: skip
    more = f" Only the first {SHOWN} of a level are shown ({', '.join(cut)}): the report has all." if cut else ""
    silenced = group(report).suppressed_count
    said = f"{report.verdict_reason} {'' if report.complete else 'The audit is not complete. '}{ready_line(report)}"
    said += f" Findings: {counts or 'none'}{f', {silenced} suppressed' if silenced else ''}.{more}"
    name = "error" if report.verdict is Verdict.NON_COMPLIANT else "warning"
    if report.verdict is Verdict.NO_VIOLATION_FOUND and report.complete:
        name = "notice"
    return command(name, said, title=f"golf-audit: {HEADLINES[report.verdict]}")


def _annotations(report: AuditReport) -> Iterator[str]:
    for one in ranked(report):
        yield _annotation(report, one)


def _annotation(report: AuditReport, one: Ranked) -> str:
    at, file = one.finding.at, file_of(one.finding.at)
    message = f"{plain(one.finding.message, MESSAGE)} [{one.finding.confidence.value} confidence, "
    message += f"{one.result.witness.value} witness]"
    if one.finding.path:
        message += " Path: " + " -> ".join(f"{plain(s.file, 80)}:{s.line}" for s in one.finding.path[:8])
    line, end, column = at.line, at.end_line, at.column
    if is_decoded(report, file) and line is not None:
        message += f" (line {line} of the decoded text, which golf-audit PR_DIR --show-source prints)"
        line, end, column = 1, None, None
    message += f" Dispute: golf-audit explain {one.meta.id}"
    title = f"{one.meta.id} ({_WORDS[one.severity]}): {plain(one.meta.title, 120)}"
    return command(
        _COMMANDS[one.severity], message, file=in_repository(report, file), line=line,
        endLine=end if end is not None and line is not None and end > line else None,
        col=column + 1 if column is not None and line is not None and (end is None or end == line) else None,
        title=title,
    )  # fmt: skip


def _gaps(report: AuditReport) -> Iterator[str]:
    """What was not decided: a gap is no pass."""
    for what, reason in gaps_by_reason(group(report).gaps):
        failed = what.startswith(Outcome.ERROR.value)
        title = "golf-audit: a check failed" if failed else "golf-audit: not decided"
        yield command("warning", f"{what}: {reason}", title=title)


def _data(text: str) -> str:
    """A command's message; see https://github.com/actions/toolkit (core/src/command.ts, escapeData)."""
    return plain(text, 4 * MESSAGE).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str | int) -> str:
    return _data(str(value)).replace(":", "%3A").replace(",", "%2C")
