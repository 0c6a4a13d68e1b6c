"""JSON for machines: the fixed keys of DESIGN section 2, described by the shipped ``schema/report-v1.json``."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from auditor.core.types import (
    AuditReport,
    BehaviourInfo,
    Claim,
    Finding,
    Place,
    RuleMeta,
    RuleResult,
    SmokeInfo,
    SubmissionInfo,
)
from auditor.report import exhibits, rerun
from auditor.report.behaviour import disagreements

SCHEMA_VERSION = 1


def render(report: AuditReport) -> str:
    """One JSON document, ASCII only (control characters and lone surrogates escaped), ending in a line break."""
    return json.dumps(document(report), indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def schema() -> dict[str, Any]:
    """The JSON schema that every document of this version satisfies."""
    text = resources.files("auditor.report").joinpath("schema/report-v1.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def document(report: AuditReport) -> dict[str, Any]:
    """The report as plain dictionaries, lists, strings and numbers."""
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "golf-audit", "version": report.tool_version},
        "edition": report.edition,
        "submission": _submission(report.submission),
        "verdict": report.verdict.value,
        "verdict_reason": report.verdict_reason,
        "complete": report.complete,
        "witnesses_run": [w.value for w in report.witnesses_run],
        "suppressed_count": sum(len(r.findings) for r in report.results if r.suppressed),
        "record_ready": {"ready": report.record_ready.ready, "reasons": list(report.record_ready.reasons)},
        "results": [_result(r, report.rules.get(r.rule)) for r in report.results],
        "claims": [_claim(c) for c in report.claims],
        "settings": [{"name": n, "value": v, "origin": o} for n, v, o in report.settings],
        "notes": list(report.notes),
        "smoke": _smoke(report.behaviour),
        "behaviour": _behaviour(report.behaviour),
        "disagreements": list(disagreements(report)),
        "exhibits": exhibits.document(report.exhibits),
        "rerun": rerun.document(report.rerun),
    }


def _smoke(info: BehaviourInfo) -> dict[str, Any]:
    smoke: SmokeInfo = info.smoke
    return {
        "ran": not info.not_run,
        "not_run": info.not_run or None,
        "imports": smoke.imports,
        "builds": smoke.builds,
        "parameters": smoke.parameters,
        "forward_backward": smoke.forward_backward,
        "code_bytes": smoke.code_bytes,
        "seconds": smoke.seconds,
        "notes": list(smoke.notes),
    }


def _behaviour(info: BehaviourInfo) -> dict[str, Any] | None:
    if info.not_run:
        return None
    return {
        "isolation": info.level,
        "reached": info.reached,
        "failure": info.failure or None,
        "headline": info.headline or None,
        "attempts": info.attempts,
        "toy_settings": info.toy_settings,
        "passes": info.passes,
        "answers": [{"question": q, "outcome": o.value, "reason": r} for q, o, r in info.answers],
        "witness_files": list(info.witness_files),
        "seconds": info.seconds,
        "peak_bytes": info.peak_bytes,
        "picture": exhibits.picture_document(info.picture),
    }


def _submission(info: SubmissionInfo) -> dict[str, Any]:
    packed = info.packed and {
        "layers": list(info.packed.layers),
        "bytes_shipped": info.packed.bytes_shipped,
        "bytes_decoded": info.packed.bytes_decoded,
    }
    return {
        "path": info.path,
        "track": info.track,
        "script": info.script,
        "script_sha256": info.script_sha256,
        "packed": packed,
    }


def _result(result: RuleResult, meta: RuleMeta | None) -> dict[str, Any]:
    out: dict[str, Any] = {
        "rule": result.rule,
        "witness": result.witness.value,
        "outcome": result.outcome.value,
        "reason": result.reason,
        "findings": [_finding(f) for f in result.findings],
    }
    if meta is not None:
        out |= {"ruling": meta.ruling.value, "kind": meta.kind.value}
    if result.suppressed is not None:
        out["suppressed"] = {"reason": result.suppressed.reason, "recorded_at": place(result.suppressed.recorded_at)}
    return out


def _finding(finding: Finding) -> dict[str, Any]:
    out: dict[str, Any] = {
        "confidence": finding.confidence.value,
        "message": finding.message,
        "at": place(finding.at),
        "path": [{"file": s.file, "line": s.line, "note": s.note} for s in finding.path],
    }
    if finding.witness_file is not None:
        out["witness_file"] = finding.witness_file
    if finding.samples:
        out["samples"] = [
            {"position": position, "first": _number(first), "second": _number(second)}
            for position, first, second in finding.samples
        ]
    return out


def place(at: Place) -> dict[str, Any]:
    """A place as the keys that it has: ``{"file", "line", ...}``, ``{"log", "line"}`` or ``{"field"}``."""
    keys = ("file", "log", "field", "line", "end_line", "column")
    return {key: getattr(at, key) for key in keys if getattr(at, key) is not None}


def _claim(claim: Claim) -> dict[str, Any]:
    return {
        "kind": claim.kind,
        "stated": _number(claim.stated),
        "where": place(claim.where),
        "measured": _number(claim.measured),
        "how": claim.how,
    }


def _number(value: float | int | str | None) -> float | int | str | None:
    """JSON knows no NaN and no infinity: they are written as text."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value
