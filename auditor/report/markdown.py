"""The report as Markdown, fit to post as a review comment: verdict, one block per finding, then the coverage."""

from __future__ import annotations

from collections.abc import Iterable

from auditor.core.text import code, markdown
from auditor.core.types import AuditReport, Finding, RuleMeta, RuleResult
from auditor.report import behaviour, rerun
from auditor.report.grouping import (
    DECODED_LINES,
    HEADLINES,
    Groups,
    figure,
    form_reasons,
    gaps_by_reason,
    group,
    names,
    ready_line,
)

SHOWN = 8
"""Findings of one rule in one block; the rest is counted."""
STEPS = 12
LIMIT = 60_000
"""Characters: a comment may have 65,536; what is over is cut, and said to be cut."""


def render(report: AuditReport) -> str:
    """The whole report as one Markdown comment."""
    groups = group(report)
    lines = [*_head(report, groups)]
    for found in behaviour.by_rule(groups.findings):
        lines += _block(found, report.rules[found.rule])
    lines += _recognised(groups.recognised)
    lines += _suppressed(groups.suppressed)
    lines += _form(report, groups.form)
    lines += _details("What was not covered, and notes", _gaps(report, groups))
    lines += _details("What was checked", _checked(report, groups))
    lines += _details(
        "The behaviour witness", (f"- {markdown(line, 500)}" for line in behaviour.lines(report.behaviour))
    )
    lines += _rerun(report)
    lines += _details("Claims and launch settings", _claims(report))
    return _cut("\n".join(lines).rstrip() + "\n")


def _head(report: AuditReport, groups: Groups) -> Iterable[str]:
    yield f"## golf-audit: {HEADLINES[report.verdict]}"
    yield ""
    yield f"{markdown(report.verdict_reason)}"
    if groups.suppressed:
        count = groups.suppressed_count
        yield f"**{count} finding{'s' if count > 1 else ''} suppressed by recorded reasons** (listed below)."
    yield ""
    ran = ", ".join(w.value for w in report.witnesses_run) or "none"
    whole = "complete" if report.complete else "**not complete**"
    info = report.submission
    yield f"The audit is {whole}: witnesses that ran: {ran}. {ready_line(report)}"
    script = code(info.script) if info.script else "no script"
    packed = f", packed, {info.packed.bytes_decoded:,} bytes decoded" if info.packed else ""
    sha = f", sha256 {code(info.script_sha256[:16])}" if info.script_sha256 else ""
    yield f"{code(info.path)}: {script}{packed}{sha}. golf-audit {report.tool_version}, edition {report.edition}."
    if info.packed:
        yield DECODED_LINES
    yield ""
    yield markdown(behaviour.smoke_line(report.behaviour), 500)
    yield ""
    for sentence in behaviour.disagreements(report):
        yield f"**{markdown(sentence, 500)}**"
        yield ""


def _block(found: behaviour.Shared, meta: RuleMeta) -> Iterable[str]:
    yield f"### {code(found.rule)}: {markdown(meta.title)}"
    yield ""
    ruling = f"**{meta.ruling.value}** since {meta.since} ({meta.kind.value} rule)"
    several = len(found.results) > 1
    yield f"Ruling: {ruling}. {'Witnesses' if several else 'Witness'}: {found.witnesses.rpartition(' ')[0]}."
    yield ""
    for result in found.results:
        if several:
            yield f"By the {result.witness.value} witness:"
            yield ""
        yield from _evidence(result.findings)
    for label, text in (("Why", meta.why), ("How to fix", meta.fix), ("Authority", meta.authority)):
        if text:
            yield f"**{label}.** {_own(text)}"
            yield ""
    yield (
        f"**How to dispute.** {code('golf-audit explain ' + meta.id)} prints the ruling, its source, "
        "its known limits and its examples; reply with the line that shows otherwise, "
        "or record a reason in `golf-audit.toml`."
    )
    yield ""


def _evidence(findings: tuple[Finding, ...]) -> Iterable[str]:
    for finding in findings[:SHOWN]:
        yield f"- {code(finding.at, 160)} ({finding.confidence.value} confidence): {markdown(finding.message, 600)}"
        for step in finding.path[:STEPS]:
            yield f"  - {code(f'{step.file}:{step.line}', 160)} {markdown(step.note)}"
        if len(finding.path) > STEPS:
            yield f"  - and {len(finding.path) - STEPS} more steps"
        yield from (f"  - {markdown(sample)}" for sample in behaviour.samples(finding))
        if hint := behaviour.replay_hint(finding):
            yield f"  - replay: {code(hint, 300)}"
    if len(findings) > SHOWN:
        yield f"- and {len(findings) - SHOWN} more"
    yield ""


def _own(text: str) -> str:
    """Text of a rule file: ours, shown as it is but for angle brackets and asterisks; its issue numbers stay links."""
    return text.replace("<", "&lt;").replace(">", "&gt;").replace("*", "\\*")


def _recognised(results: tuple[RuleResult, ...]) -> Iterable[str]:
    if not results:
        return
    yield "### Recognised patterns that rulings accept"
    yield ""
    for result in results:
        at = f" ({code(result.findings[0].at, 160)})" if result.findings else ""
        yield f"- {code(result.rule)}: {markdown(result.reason)}{at}"
    yield ""


def _suppressed(results: tuple[RuleResult, ...]) -> Iterable[str]:
    if not results:
        return
    yield "### Suppressed by a recorded reason"
    yield ""
    for result in results:
        if result.suppressed is None:
            continue
        mark = result.suppressed
        yield f"- {code(result.rule)}, recorded at {code(mark.recorded_at, 160)}: {markdown(mark.reason)}"
        yield from (f"  - {code(f.at, 160)}: {markdown(f.message)}" for f in result.findings[:SHOWN])
    yield ""


def _form(report: AuditReport, results: tuple[RuleResult, ...]) -> Iterable[str]:
    yield "### Form (never decides the verdict)"
    yield ""
    yield ready_line(report)
    yield ""
    yield from (f"- {markdown(reason)}" for reason in form_reasons(report, results))
    for result in results:
        for finding in result.findings[:SHOWN]:
            yield f"- {code(result.rule)} {code(finding.at, 160)}: {markdown(finding.message)}"
        if len(result.findings) > SHOWN:
            yield f"- {code(result.rule)}: and {len(result.findings) - SHOWN} more"
    yield ""


def _rerun(report: AuditReport) -> Iterable[str]:
    if report.rerun is None:
        return
    yield "### The re-run"
    yield ""
    yield from (f"- {markdown(line, 600)}" for line in rerun.lines(report.rerun))
    yield ""


def _gaps(report: AuditReport, groups: Groups) -> Iterable[str]:
    for what, reason in gaps_by_reason(groups.gaps):
        yield f"- {what}: {markdown(reason)}"
    yield from (f"- {markdown(note)}" for note in report.notes[:40])
    if len(report.notes) > 40:
        yield f"- and {len(report.notes) - 40} more notes"


def _checked(report: AuditReport, groups: Groups) -> Iterable[str]:
    yield f"- Covered, nothing found: {names(groups.clear) or 'no rule'}"
    yield f"- Not applicable: {names(groups.idle) or 'no rule'}"


def _claims(report: AuditReport) -> Iterable[str]:
    for claim in report.claims[:40]:
        stated = "not stated"
        if claim.stated is not None:
            stated = f"stated {code(figure(claim.stated), 60)} ({code(claim.where, 120)})"
        how = f" ({markdown(claim.how, 120)})" if claim.how else ""
        measured = "not measured" if claim.measured is None else f"measured {code(figure(claim.measured), 60)}{how}"
        yield f"- {markdown(claim.kind)}: {stated}, {measured}"
    for name, value, origin in report.settings[:60]:
        yield f"- {code(f'{name}={value}', 120)} ({markdown(origin, 120)})"
    if len(report.settings) > 60:
        yield f"- and {len(report.settings) - 60} more settings"


def _details(title: str, lines: Iterable[str]) -> Iterable[str]:
    body = list(lines)
    if not body:
        return
    yield f"<details><summary>{title}</summary>"
    yield ""
    yield from body
    yield ""
    yield "</details>"
    yield ""


def _cut(text: str) -> str:
    if len(text) <= LIMIT:
        return text
    head = text[:LIMIT].rpartition("\n")[0]
    close = "\n\n</details>" if head.count("<details>") > head.count("</details>") else ""
    return f"{head}{close}\n\n*Cut here: {len(text) - len(head):,} more characters; the JSON report has everything.*\n"
