"""SARIF 2.1.0 (OASIS): one run, every rule listed, findings as results with their paths as code flows.

What is not decided is a notification of the invocation, never a result that could be read as a pass. A finding for a
person to decide has kind ``review``; the standard (section 3.27.10) then wants level ``none``. Lines of a packed script
are lines of its decoded text, and each message on one says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from typing import Any
from urllib.parse import quote

from auditor.core.text import plain, visible
from auditor.core.types import AuditReport, Finding, Kind, Outcome, PathStep, Place, RuleMeta, RuleResult, Ruling
from auditor.report.grouping import DECODED_LINES, HEADLINES, gaps_by_reason, group
from auditor.report.places import Severity, file_of, in_repository, is_decoded, line_text, ranked, severity, suppressed

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MESSAGE = 1000
STEPS = 60
"""Steps of one path."""
NOTES = 60
LEVELS = {
    Severity.REFUSED: ("fail", "error"),
    Severity.LIKELY: ("fail", "warning"),
    Severity.REVIEW: ("review", "none"),
    Severity.FORM: ("fail", "note"),
}
"""Severity to SARIF's kind and level."""
_GAP_LEVEL = {Outcome.ERROR: "error", Outcome.UNKNOWN: "warning"}


def render(report: AuditReport) -> str:
    """One SARIF log, ASCII only, ending in a line break; the same report gives the same bytes."""
    return json.dumps(document(report), indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def document(report: AuditReport) -> dict[str, Any]:
    """The log as plain dictionaries."""
    order = {rule: index for index, rule in enumerate(sorted(report.rules))}
    seen: Counter[str] = Counter()
    results = [_result(report, one.result, one.finding, one.meta, order, seen) for one in ranked(report)]
    results += [_result(report, result, finding, meta, order, seen) for result, finding, meta in suppressed(report)]
    run: dict[str, Any] = {
        "tool": {"driver": {
            "name": "golf-audit", "version": report.tool_version, "semanticVersion": report.tool_version,
            "rules": [_rule(report.rules[rule]) for rule in order],
        }},
        "invocations": [_invocation(report, order)],
        "columnKind": "unicodeCodePoints",
        "results": results,
        "properties": _properties(report),
    }  # fmt: skip
    if not re.fullmatch(r"\d+\.\d+\.\d+([-+][0-9A-Za-z.-]+)?", report.tool_version):
        del run["tool"]["driver"]["semanticVersion"]
    if report.submission.script:
        run["artifacts"] = [_script(report)]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(meta: RuleMeta) -> dict[str, Any]:
    level = {Kind.FORM: "note"}.get(meta.kind, "error" if meta.ruling is Ruling.ILLEGAL else "none")
    parts = [("What it does", meta.what), ("Why it is not allowed", meta.why), ("How to fix it", meta.fix),
             ("Known limits", meta.limits), ("Authority", meta.authority),
             ("Ruling", f"{meta.ruling.value}, since {meta.since} ({meta.kind.value} rule)")]  # fmt: skip
    said = [(title, " ".join(text.split())) for title, text in parts if text.strip()]
    return {
        "id": meta.id,
        "name": "".join(part.capitalize() for part in meta.id.split("-")),
        "shortDescription": {"text": _safe(meta.title or meta.id)},
        "fullDescription": {"text": _safe(meta.what or meta.title or meta.id)},
        "help": {
            "text": "\n".join(f"{title}: {text}" for title, text in said),
            "markdown": "\n\n".join(f"**{title}.** {text.replace('<', '&lt;')}" for title, text in said),
        },
        "defaultConfiguration": {"level": level},
        "properties": {
            "tags": ["parameter-golf", meta.kind.value, meta.ruling.value],
            "ruling": meta.ruling.value, "kind": meta.kind.value, "since": meta.since, "authority": meta.authority,
        },
    }  # fmt: skip


def _result(
    report: AuditReport,
    result: RuleResult,
    finding: Finding,
    meta: RuleMeta,
    order: dict[str, int],
    seen: Counter[str],
) -> dict[str, Any]:
    kind, level = LEVELS[severity(meta, finding)]
    message = _safe(finding.message, MESSAGE)
    if is_decoded(report, file_of(finding.at)) and finding.at.line is not None:
        message += f" (line {finding.at.line} of the decoded text, which golf-audit PR_DIR --show-source prints)"
    out: dict[str, Any] = {
        "ruleId": result.rule,
        "ruleIndex": order[result.rule],
        "kind": kind,
        "level": level,
        "message": {"text": message},
        "locations": [_location(report, finding.at)],
        "partialFingerprints": {"golfAuditFinding/v1": _fingerprint(report, result, finding, seen)},
        "properties": _evidence(result, finding),
    }
    if finding.path:
        out["codeFlows"] = [_flow(report, finding)]
    if result.suppressed is not None:
        at = result.suppressed.recorded_at
        inside = file_of(at).endswith((".py", ".c", ".cpp", ".cu"))
        out["suppressions"] = [{
            "kind": "inSource" if inside else "external", "status": "accepted",
            "justification": _safe(result.suppressed.reason), "location": _location(report, at),
        }]  # fmt: skip
    return out


def _evidence(result: RuleResult, finding: Finding) -> dict[str, Any]:
    found: dict[str, Any] = {"witness": result.witness.value, "confidence": finding.confidence.value}
    if finding.witness_file:
        found["witnessFile"] = plain(finding.witness_file)
    if finding.samples:
        found["samples"] = [
            {"position": position, "first": f"{first:.9g}", "second": f"{second:.9g}"}
            for position, first, second in finding.samples[:8]
        ]
    return found


def _location(report: AuditReport, at: Place, note: str = "") -> dict[str, Any]:
    file = file_of(at)
    physical: dict[str, Any] = {"artifactLocation": _artifact(report, file)}
    if at.line is not None and at.line >= 1:
        physical["region"] = _region(report, file, at)
    out: dict[str, Any] = {"physicalLocation": physical}
    if at.field is not None:
        out["logicalLocations"] = [{"fullyQualifiedName": plain(at.field), "kind": "member"}]
    if note:
        out["message"] = {"text": _safe(note)}
    return out


def _region(report: AuditReport, file: str, at: Place) -> dict[str, Any]:
    assert at.line is not None
    region: dict[str, Any] = {"startLine": at.line}
    if at.end_line is not None and at.end_line > at.line:
        region["endLine"] = at.end_line
    if at.column is not None and at.column >= 0:
        region["startColumn"] = at.column + 1
    text = line_text(report, file, at.line)
    if text is not None and "endLine" not in region:
        region["snippet"] = {"text": visible(text)}
    return region


def _artifact(report: AuditReport, file: str) -> dict[str, Any]:
    """A relative URI; ``%`` and everything that is no plain letter of a path is escaped."""
    path = in_repository(report, file).encode("utf-8", "backslashreplace")
    return {"uri": quote(path, safe="/") or ".", "uriBaseId": "%SRCROOT%"}


def _script(report: AuditReport) -> dict[str, Any]:
    info = report.submission
    out: dict[str, Any] = {"location": _artifact(report, info.script or "")}
    if info.script_sha256:
        out["hashes"] = {"sha-256": info.script_sha256}
    if info.packed:
        layers = " > ".join(plain(layer, 40) for layer in info.packed.layers)
        out["length"] = info.packed.bytes_shipped
        out["description"] = {"text": _safe(f"Packed ({layers}). {DECODED_LINES}", MESSAGE)}
    return out


def _flow(report: AuditReport, finding: Finding) -> dict[str, Any]:
    steps = finding.path if len(finding.path) <= STEPS else (*finding.path[: STEPS // 2], *finding.path[-STEPS // 2 :])
    last = steps[-1]
    if (last.file, last.line) != (finding.at.file, finding.at.line) and finding.at.file and finding.at.line:
        steps = (*steps, PathStep(finding.at.file, finding.at.line, "the finding"))
    places = [
        {"location": _location(report, Place(file=step.file, line=step.line), step.note), "executionOrder": number,
         "importance": "essential" if number in (1, len(steps)) else "important"}
        for number, step in enumerate(steps, 1)
    ]  # fmt: skip
    return {"threadFlows": [{"locations": places}]}


def _fingerprint(report: AuditReport, result: RuleResult, finding: Finding, seen: Counter[str]) -> str:
    """The same for the same finding when lines move above it: by rule, file and the text of the line.

    Where the line is not known, the message without its numbers stands for it. Twins are numbered in their order.
    """
    file = file_of(finding.at)
    text = line_text(report, file, finding.at.line)
    about = " ".join(text.split()) if text else re.sub(r"[\d.,]+", "0", finding.message)
    key = "\0".join((result.rule, result.witness.value, file, finding.at.field or "", about))
    seen[key] += 1
    return hashlib.sha256(f"{key}\0{seen[key]}".encode("utf-8", "backslashreplace")).hexdigest()


def _invocation(report: AuditReport, order: dict[str, int]) -> dict[str, Any]:
    gaps = [r for r in report.results if r.outcome in _GAP_LEVEL]
    notices = [
        {
            "level": _GAP_LEVEL[result.outcome],
            "descriptor": {"id": f"outcome-{result.outcome.value}"},
            "associatedRule": {"id": result.rule, "index": order[result.rule]},
            "message": {"text": _safe(
                f"{result.rule} was not decided by the {result.witness.value} witness "
                f"({result.outcome.value}): {result.reason}", MESSAGE)},
        }
        for result in gaps
    ]  # fmt: skip
    notices += [{"level": "note", "descriptor": {"id": "coverage"}, "message": {"text": _safe(note, MESSAGE)}}
                for note in report.notes[:NOTES]]  # fmt: skip
    if not report.complete:
        said = "The audit is not complete: that a rule has no result here does not say that it is kept."
        notices.append({"level": "warning", "descriptor": {"id": "not-complete"}, "message": {"text": said}})
    return {
        "executionSuccessful": not any(r.outcome is Outcome.ERROR for r in report.results),
        "toolExecutionNotifications": notices,
    }


def _properties(report: AuditReport) -> dict[str, Any]:
    groups = group(report)
    return {
        "verdict": report.verdict.value,
        "headline": HEADLINES[report.verdict],
        "reason": plain(report.verdict_reason, MESSAGE),
        "complete": report.complete,
        "recordReady": report.record_ready.ready,
        "edition": report.edition,
        "witnesses": [w.value for w in report.witnesses_run],
        "rerun": report.rerun.outcome if report.rerun is not None else None,
        "clear": sorted({f"{r.rule} ({r.witness.value})" for r in groups.clear}),
        "recognised": [f"{r.rule}: {plain(r.reason)}" for r in groups.recognised],
        "undecided": [f"{what}: {plain(reason)}" for what, reason in gaps_by_reason(groups.gaps)],
    }


def _safe(text: str, limit: int = 600) -> str:
    """Foreign text as a SARIF message: one printable line; brackets and braces are no links and no placeholders."""
    escaped = re.sub(r"([\\\[\]])", r"\\\1", plain(text, limit)).replace("{", "{{").replace("}", "}}")
    return escaped or "-"
