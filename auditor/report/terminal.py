"""The report for a terminal: readable at 80 columns, without colour, and when piped."""

from __future__ import annotations

import io

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule as Line
from rich.table import Table
from rich.text import Text

from auditor.core.text import plain
from auditor.core.types import AuditReport, Finding, PathStep, RuleResult, Verdict
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

SHOWN = 5
"""Findings of one rule that are shown; the rest is counted, JSON has them all."""
STEPS = 8
"""Steps of one path that are shown."""

_STYLES = {
    Verdict.NON_COMPLIANT: "bold red",
    Verdict.NEEDS_REVIEW: "bold yellow",
    Verdict.INCONCLUSIVE: "bold magenta",
    Verdict.NO_VIOLATION_FOUND: "bold green",
}


def render(report: AuditReport, *, width: int = 80, color: bool = False, verbose: bool = False) -> str:
    """The whole report as text; with ``color`` False there is no escape sequence in it."""
    sink = io.StringIO()
    console = Console(
        file=sink, width=max(40, width), force_terminal=color, no_color=not color,
        color_system="standard" if color else None, highlight=False, markup=False, emoji=False, legacy_windows=False,
    )  # fmt: skip
    groups = group(report)
    _head(console, report, groups)
    _disagreements(console, report)
    _findings(console, report, groups.findings)
    _recognised(console, groups.recognised)
    _suppressed(console, groups.suppressed)
    _not_covered(console, report, groups, verbose)
    _checked(console, groups, verbose)
    _behaviour(console, report)
    _rerun(console, report)
    _claims(console, report)
    _settings(console, report, verbose)
    _form(console, report, groups.form)
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()) + "\n"


def _head(console: Console, report: AuditReport, groups: Groups) -> None:
    sure = report.complete or report.verdict is not Verdict.NO_VIOLATION_FOUND
    verdict = Text(HEADLINES[report.verdict], style=_STYLES[report.verdict] if sure else "bold")
    console.print(verdict.append(f"  {plain(report.verdict_reason)}", style="default not bold"), soft_wrap=False)
    if groups.suppressed:
        count = groups.suppressed_count
        _say(
            console,
            f"{count} finding{'s' if count > 1 else ''} suppressed by recorded reasons, listed below.",
            style="bold",
        )
    ran = ", ".join(w.value for w in report.witnesses_run) or "none"
    whole = "complete" if report.complete else "NOT complete"
    _say(console, f"The audit is {whole}; witnesses that ran: {ran}. {ready_line(report)}")
    info = report.submission
    _say(console, f"{plain(info.path)}" + (f" ({plain(info.track)})" if info.track else ""), style="dim")
    script = plain(info.script) if info.script else "no script"
    if info.packed:
        layers = " > ".join(plain(layer, 40) for layer in info.packed.layers)
        script += f", packed ({layers}): {info.packed.bytes_shipped:,} bytes, decoded {info.packed.bytes_decoded:,}"
    sha = f", sha256 {info.script_sha256[:16]}" if info.script_sha256 else ""
    _say(console, f"{script}{sha}; golf-audit {report.tool_version}, edition {report.edition}", style="dim")
    if info.packed:
        _say(console, DECODED_LINES, style="dim")


def _findings(console: Console, report: AuditReport, results: tuple[RuleResult, ...]) -> None:
    if not results:
        return
    shared = behaviour.by_rule(results)
    _title(console, f"Findings ({len(shared)})")
    for number, found in enumerate(shared):
        meta = report.rules[found.rule]
        if number:
            console.print()
        head = Text(found.rule, style="bold").append(
            f"  {meta.ruling.value} {meta.kind.value} rule, {found.witnesses}", style="not bold"
        )
        console.print(head)
        _say(console, plain(meta.title), indent=2)
        for result in found.results:
            if len(found.results) > 1:
                _say(console, f"by the {result.witness.value} witness:", indent=2, style="dim")
            _evidence(console, result.findings)
        for label, text in (("why", meta.why), ("fix", meta.fix), ("said by", meta.authority)):
            if text:
                _labelled(console, label, plain(text, 600))
        _labelled(console, "dispute", f"golf-audit explain {found.rule} (its limits, its examples)")


def _disagreements(console: Console, report: AuditReport) -> None:
    for sentence in behaviour.disagreements(report):
        _say(console, plain(sentence, 500), style="bold")


def _behaviour(console: Console, report: AuditReport) -> None:
    _title(console, "Smoke, and the behaviour witness")
    for sentence in (behaviour.smoke_line(report.behaviour), *behaviour.lines(report.behaviour)):
        _say(console, plain(sentence, 400), indent=2)


def _rerun(console: Console, report: AuditReport) -> None:
    if report.rerun is not None:
        _title(console, "The re-run")
        for sentence in rerun.lines(report.rerun):
            _say(console, plain(sentence, 600), indent=2)


def _evidence(console: Console, findings: tuple[Finding, ...]) -> None:
    for finding in findings[:SHOWN]:
        line = Text(plain(finding.at, 120), style="cyan").append(f"  [{finding.confidence.value}] ", style="default")
        console.print(Padding(line.append(plain(finding.message, 600)), (0, 0, 0, 2)))
        _path(console, finding.path)
        for sample in behaviour.samples(finding):
            _say(console, sample, indent=4)
        if hint := behaviour.replay_hint(finding):
            _labelled(console, "replay", hint)
    if len(findings) > SHOWN:
        _say(console, f"and {len(findings) - SHOWN} more of this rule (--format json lists them all)", indent=2)


def _path(console: Console, steps: tuple[PathStep, ...]) -> None:
    shown = steps if len(steps) <= STEPS else (*steps[: STEPS - 2], *steps[-2:])
    for number, step in enumerate(shown):
        if len(steps) > STEPS and number == STEPS - 2:
            _say(console, f"... {len(steps) - STEPS} steps", indent=6)
        line = Text("-> ", style="dim").append(f"{plain(step.file, 80)}:{step.line}", style="cyan")
        console.print(Padding(line.append(f"  {plain(step.note, 200)}"), (0, 0, 0, 4)))


def _recognised(console: Console, results: tuple[RuleResult, ...]) -> None:
    if not results:
        return
    _title(console, "Recognised patterns that rulings accept (they count for nothing here)")
    for result in results:
        at = f" at {plain(result.findings[0].at, 80)}" if result.findings else ""
        _say(console, f"{result.rule}: {plain(result.reason, 200)}{at}", indent=2)


def _suppressed(console: Console, results: tuple[RuleResult, ...]) -> None:
    if not results:
        return
    _title(console, "Suppressed (found, but silenced by a recorded reason)")
    for result in results:
        if result.suppressed is None:
            continue
        mark = result.suppressed
        _say(console, f'{result.rule}: "{plain(mark.reason, 200)}" ({plain(mark.recorded_at, 120)})', indent=2)
        _evidence(console, result.findings)


def _not_covered(console: Console, report: AuditReport, groups: Groups, verbose: bool) -> None:
    _title(console, "Not covered, and notes")
    for what, reason in gaps_by_reason(groups.gaps):
        _say(console, f"{what}: {plain(reason)}", indent=2)
    shown = (
        report.notes if verbose else report.notes[:12] + report.notes[-1:] if len(report.notes) > 13 else report.notes
    )
    for note in shown:
        _say(console, f"- {plain(note, 4000 if verbose else 240)}", indent=2)
    if len(shown) < len(report.notes):
        _say(console, f"- {len(report.notes) - len(shown)} more notes (--verbose lists them)", indent=2)


def _checked(console: Console, groups: Groups, verbose: bool) -> None:
    _title(console, "Checked")
    _say(console, f"Covered, nothing found: {names(groups.clear) or 'no rule'}.", indent=2)
    if verbose and groups.idle:
        _say(console, f"Not applicable: {names(groups.idle)}.", indent=2)
    elif groups.idle:
        count = len({r.rule for r in groups.idle})
        _say(console, f"Not applicable: {count} rule{'s' if count > 1 else ''} (--verbose names them).", indent=2)


def _claims(console: Console, report: AuditReport) -> None:
    if not report.claims:
        return
    _title(console, "Claims")
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for column in ("claim", "stated", "measured", "stated in, or how measured"):
        table.add_column(column, overflow="fold")
    for claim in report.claims[:30]:
        where = claim.where if claim.stated is not None else claim.how or "-"
        cells = (claim.kind, figure(claim.stated), figure(claim.measured), where)
        table.add_row(*(Text(plain(cell, 80)) for cell in cells))
    console.print(Padding(table, (0, 0, 0, 2)))


def _settings(console: Console, report: AuditReport, verbose: bool) -> None:
    if not report.settings:
        return
    _title(console, "Launch settings in force")
    shown = report.settings if verbose else report.settings[:8]
    for name, value, origin in shown:
        _say(console, f"{plain(name, 60)}={plain(value, 80)}  ({plain(origin, 100)})", indent=2)
    if len(shown) < len(report.settings):
        _say(console, f"and {len(report.settings) - len(shown)} more (--verbose lists them)", indent=2)


def _form(console: Console, report: AuditReport, results: tuple[RuleResult, ...]) -> None:
    _title(console, "Form (decides whether it can stand as a record row, never the verdict)")
    _say(console, ready_line(report), indent=2)
    for reason in form_reasons(report, results):
        _say(console, f"- {plain(reason)}", indent=2)
    for result in results:
        for finding in result.findings[:SHOWN]:
            _say(console, f"{result.rule}  {plain(finding.at, 120)}  {plain(finding.message)}", indent=2)
        if len(result.findings) > SHOWN:
            _say(console, f"{result.rule}  and {len(result.findings) - SHOWN} more", indent=2)


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Line(Text(text, style="bold"), align="left", characters="-", style="dim"))


def _say(console: Console, text: str, *, indent: int = 0, style: str = "") -> None:
    console.print(Padding(Text(text, style=style), (0, 0, 0, indent)))


def _labelled(console: Console, label: str, text: str) -> None:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=7)
    grid.add_column(overflow="fold")
    grid.add_row(Text(label, style="dim"), Text(text))
    console.print(Padding(grid, (0, 0, 0, 2)))
