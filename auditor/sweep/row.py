"""A report as the columns of a store: what the board filters by stands beside the whole, compressed."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

from auditor.sweep.types import Audited

_RANK = ("low", "medium", "high")
_DATE = re.compile(r"(20\d\d-\d\d-\d\d)")
MAX_BPB = 1e6
"""A stated score beyond it, or one that is no number, is not kept."""
KEPT = ("found", "error", "unknown")
"""Outcomes that get a row of their own; the others are in the report."""


def columns(result: Audited) -> dict[str, Any]:
    """Column -> value of one audit's result."""
    fields: dict[str, Any] = {
        "error": result.error, "seconds": round(result.seconds, 3), "cpu_seconds": round(result.cpu_seconds, 3),
        "peak_bytes": result.peak_bytes, "report": None, "facts": packed(result.facts), "program": None,
        "verdict": None, "reason": None, "complete": None, "record_ready": None, "track": None, "date": None,
        "stated_bpb": None, "name": None, "author": None,
    }  # fmt: skip
    report = result.report
    if report is None:
        return fields
    stated = result.facts.get("stated", {})
    toy = report.get("behaviour") or {}
    return fields | {
        "report": packed(report),
        "peak_bytes": max(result.peak_bytes, toy.get("peak_bytes") or 0),
        "program": result.facts.get("program") or None,
        "verdict": report["verdict"],
        "reason": report["verdict_reason"],
        "complete": int(report["complete"]),
        "record_ready": None if (ready := report["record_ready"]["ready"]) is None else int(ready),
        "track": report["submission"]["track"],
        "date": _date(stated.get("date"), report["submission"]["path"]),
        "stated_bpb": stated_bpb(report, stated),
        "name": _text(stated.get("name")),
        "author": _text(stated.get("author")) or _text(stated.get("github_id")),
    }


def result_rows(report: dict[str, Any] | None) -> Iterator[tuple[str, str, str, str, int, int]]:
    """(rule, witness, outcome, confidence, findings, suppressed) of what did not pass."""
    for result in (report or {}).get("results", ()):
        if result["outcome"] in KEPT:
            levels = [f["confidence"] for f in result["findings"]]
            best = max(levels, key=_RANK.index, default="")
            suppressed = int("suppressed" in result)
            yield result["rule"], result["witness"], result["outcome"], best, len(levels), suppressed


def stated_bpb(report: dict[str, Any], stated: dict[str, Any]) -> float | None:
    """The score that the submission states: the claim in the report, else ``submission.json``'s own field."""
    claims = [c["stated"] for c in report["claims"] if c["kind"] == "val_bpb"]
    for value in (*claims, stated.get("val_bpb")):
        if isinstance(value, int | float) and abs(value) < MAX_BPB:
            return float(value)
    return None


def packed(value: Any) -> bytes:
    """A JSON value, compressed."""
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 6)


def _date(stated: Any, path: str) -> str | None:
    """The ISO date that ``submission.json`` states, else that of the folder's name."""
    for text in (str(stated or ""), path.rpartition("/")[2]):
        if match := _DATE.search(text):
            return match.group(1)
    return None


def _text(value: Any) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    return value.strip()
