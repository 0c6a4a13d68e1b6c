"""The report as one self-contained HTML page: no script, no network, no other file; the pictures first.

Jinja2 escapes every value (autoescape), foreign text is made printable first (`auditor.core.text.plain`), and the
page's own policy forbids scripts and requests. The same report gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2
from markupsafe import Markup

from auditor.core.text import plain
from auditor.core.types import AuditReport, Finding, PathStep, RuleMeta, RuleResult
from auditor.report import behaviour, rerun
from auditor.report.grouping import (
    DECODED_LINES,
    HEADLINES,
    figure,
    form_reasons,
    gaps_by_reason,
    group,
    names,
    ready_line,
)
from auditor.report.page import bars, charts, source, timeline
from auditor.report.places import is_decoded

SHOWN = 10
"""Findings of one result on the page; the rest is counted."""
STEPS = 16
NOTES = 80
SETTINGS = 200


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a path with its line, where the report carries it."""

    at: str
    note: str
    code: Markup | None


@dataclass(frozen=True, slots=True)
class Shown:
    """One finding as the page shows it."""

    finding: Finding
    at: str
    lines: tuple[source.Line, ...]
    caption: str
    steps: tuple[Step, ...]
    more_steps: int
    samples: tuple[str, ...]
    replay: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one witness found for one rule."""

    witness: str
    shown: tuple[Shown, ...]
    more: int


@dataclass(frozen=True, slots=True)
class RuleBlock:
    """One rule that was found, with the evidence of each witness."""

    meta: RuleMeta
    witnesses: str
    evidence: tuple[Evidence, ...]


def render(report: AuditReport) -> str:
    """The page, ending in a line break."""
    page = _environment().get_template("report.html.j2").render(_context(report))
    return page.rstrip() + "\n"


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("auditor.report", "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters["plain"] = plain
    made.filters["figure"] = figure
    return made


def _context(report: AuditReport) -> dict[str, Any]:
    groups = group(report)
    times, sizes = bars.time_figure(report.exhibits), bars.byte_figure(report.exhibits.bytes)
    return {
        "report": report,
        "headline": HEADLINES[report.verdict],
        "ready": ready_line(report),
        "decoded": DECODED_LINES if report.submission.packed else "",
        "disagreements": behaviour.disagreements(report),
        "timeline": timeline.figure(report.behaviour),
        "no_timeline": _why_no_picture(report),
        "charts": charts.figures(report.exhibits),
        "finals": report.exhibits.finals,
        "bytes": sizes,
        "times": times,
        "findings": [_block(report, shared.results, shared.witnesses) for shared in behaviour.by_rule(groups.findings)],
        "recognised": groups.recognised,
        "suppressed": [(r, _evidence(report, r)) for r in groups.suppressed if r.suppressed is not None],
        "suppressed_count": groups.suppressed_count,
        "form": [(r, _evidence(report, r)) for r in groups.form],
        "form_reasons": form_reasons(report, groups.form),
        "gaps": gaps_by_reason(groups.gaps),
        "clear": names(groups.clear),
        "idle": names(groups.idle),
        "notes": report.notes[:NOTES],
        "more_notes": max(0, len(report.notes) - NOTES),
        "settings": report.settings[:SETTINGS],
        "more_settings": max(0, len(report.settings) - SETTINGS),
        "smoke": behaviour.smoke_line(report.behaviour),
        "behaviour_lines": behaviour.lines(report.behaviour),
        "rerun_lines": rerun.lines(report.rerun),
    }


def _why_no_picture(report: AuditReport) -> str:
    """The sentence that stands in the picture's place."""
    info = report.behaviour
    if info.not_run:
        return f"The behaviour witness did not run: {info.not_run}. What only a run can show is not covered."
    failed = f": {info.failure}" if info.failure else ""
    return f"The toy run neither scored nor trained on anything that could be drawn{failed}."


def _block(report: AuditReport, results: tuple[RuleResult, ...], witnesses: str) -> RuleBlock:
    meta = report.rules[results[0].rule]
    return RuleBlock(meta, witnesses, tuple(_evidence(report, result) for result in results))


def _evidence(report: AuditReport, result: RuleResult) -> Evidence:
    shown = tuple(_shown(report, finding) for finding in result.findings[:SHOWN])
    return Evidence(result.witness.value, shown, max(0, len(result.findings) - SHOWN))


def _shown(report: AuditReport, finding: Finding) -> Shown:
    at = finding.at
    name = at.file or at.log
    lines: tuple[source.Line, ...] = ()
    if name is not None and at.line is not None:
        held = report.exhibits.excerpt(name, at.line)
        last = min(at.end_line or at.line, at.line + 12)
        lines = tuple(source.lines(held, at.line, max(last, at.line))) if held is not None else ()
    decoded = ", lines of the decoded text" if name is not None and is_decoded(report, name) else ""
    caption = f"{plain(name, 120)}{decoded}" if name else ""
    steps = finding.path if len(finding.path) <= STEPS else (*finding.path[: STEPS - 3], *finding.path[-3:])
    return Shown(
        finding, plain(at, 160), lines, caption, tuple(_step(report, step) for step in steps),
        len(finding.path) - len(steps), tuple(behaviour.samples(finding)), behaviour.replay_hint(finding),
    )  # fmt: skip


def _step(report: AuditReport, step: PathStep) -> Step:
    held = report.exhibits.excerpt(step.file, step.line)
    line = held.line(step.line) if held is not None else None
    python = step.file.endswith(".py")
    return Step(
        f"{plain(step.file, 80)}:{step.line}", plain(step.note), None if line is None else
        source.code(line.strip(), python=python),
    )  # fmt: skip
