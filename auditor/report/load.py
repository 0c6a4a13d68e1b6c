"""A report from its JSON document, so that any format can be made of a stored audit without auditing again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor.core.types import (
    AuditReport,
    BehaviourInfo,
    Claim,
    Confidence,
    Finding,
    Outcome,
    PackedInfo,
    PathStep,
    Place,
    RecordReady,
    RuleMeta,
    RuleResult,
    SmokeInfo,
    SubmissionInfo,
    Suppression,
    Verdict,
    Witness,
)
from auditor.report import exhibits, rerun
from auditor.report.json import SCHEMA_VERSION

Json = Mapping[str, Any]


class NotAReport(ValueError):
    """The document is none that this version writes; the message is one sentence."""


def load(document: Json, rules: Mapping[str, RuleMeta]) -> AuditReport:
    """The report that gave ``document`` (`auditor.report.json.document`). ``rules`` are the metadata of today's rules.

    Raises `NotAReport` for another schema version, a missing key, or a rule that is not among ``rules``.
    """
    if document.get("schema_version") != SCHEMA_VERSION:
        raise NotAReport(f"schema version {document.get('schema_version')!r}, wanted {SCHEMA_VERSION}")
    unknown = sorted({r["rule"] for r in document.get("results", ())} - set(rules))
    if unknown:
        raise NotAReport(f"it speaks of rules that this version does not have: {', '.join(unknown[:5])}")
    try:
        return _report(document, rules)
    except (KeyError, TypeError, ValueError) as error:
        raise NotAReport(f"it cannot be read as a report: {type(error).__name__}: {error}") from error


def _report(told: Json, rules: Mapping[str, RuleMeta]) -> AuditReport:
    ready = told["record_ready"]
    return AuditReport(
        tool_version=told["tool"]["version"],
        edition=told["edition"],
        submission=_submission(told["submission"]),
        verdict=Verdict(told["verdict"]),
        complete=told["complete"],
        record_ready=RecordReady(ready["ready"], tuple(ready["reasons"])),
        results=tuple(_result(result) for result in told["results"]),
        claims=tuple(
            Claim(c["kind"], c["stated"], _place(c["where"]), c["measured"], c["how"]) for c in told["claims"]
        ),
        rules=dict(rules),
        witnesses_run=tuple(Witness(name) for name in told["witnesses_run"]),
        notes=tuple(told["notes"]),
        settings=tuple((s["name"], s["value"], s["origin"]) for s in told["settings"]),
        verdict_reason=told["verdict_reason"],
        behaviour=_behaviour(told["behaviour"], told["smoke"]),
        exhibits=exhibits.read(told["exhibits"]),
        rerun=rerun.read(told.get("rerun")),
    )


def _submission(told: Json) -> SubmissionInfo:
    packed = told["packed"]
    info = packed and PackedInfo(tuple(packed["layers"]), packed["bytes_shipped"], packed["bytes_decoded"])
    return SubmissionInfo(told["path"], told["track"], told["script"], told["script_sha256"], info)


def _place(told: Json) -> Place:
    return Place(**told)


def _result(told: Json) -> RuleResult:
    mark = told.get("suppressed")
    return RuleResult(
        told["rule"], Witness(told["witness"]), Outcome(told["outcome"]), told["reason"],
        tuple(_finding(finding) for finding in told["findings"]),
        Suppression(told["rule"], mark["reason"], _place(mark["recorded_at"])) if mark else None,
    )  # fmt: skip


def _finding(told: Json) -> Finding:
    return Finding(
        Confidence(told["confidence"]), told["message"], _place(told["at"]),
        tuple(PathStep(step["file"], step["line"], step["note"]) for step in told["path"]), told.get("witness_file"),
        tuple((s["position"], float(s["first"]), float(s["second"])) for s in told.get("samples", ())),
    )  # fmt: skip


def _behaviour(told: Json | None, smoke: Json) -> BehaviourInfo:
    seen = SmokeInfo(
        smoke["imports"], smoke["builds"], smoke["parameters"], smoke["forward_backward"], smoke["code_bytes"],
        smoke["seconds"], tuple(smoke["notes"]),
    )  # fmt: skip
    if told is None:
        return BehaviourInfo(not_run=smoke["not_run"], smoke=seen)
    return BehaviourInfo(
        not_run="", level=told["isolation"], reached=told["reached"], failure=told["failure"] or "",
        headline=told["headline"] or "", attempts=told["attempts"], toy_settings=told["toy_settings"],
        passes=told["passes"], witness_files=tuple(told["witness_files"]), seconds=told["seconds"],
        answers=tuple((a["question"], Outcome(a["outcome"]), a["reason"]) for a in told["answers"]),
        peak_bytes=told["peak_bytes"], smoke=seen, picture=exhibits.read_picture(told["picture"]),
    )  # fmt: skip
