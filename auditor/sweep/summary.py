"""What a sweep's store holds in figures, as text and as JSON."""

from __future__ import annotations

import sqlite3
import textwrap
from collections.abc import Mapping
from typing import Any

from auditor.core.text import plain
from auditor.core.types import Verdict
from auditor.sweep.progress import clock
from auditor.sweep.run import Course

SHOWN = 10
"""Errors that the text names; the JSON has all."""
WIDTH = 80
ORDER = (Verdict.NON_COMPLIANT, Verdict.NEEDS_REVIEW, Verdict.INCONCLUSIVE, Verdict.NO_VIOLATION_FOUND)


def figures(db: sqlite3.Connection, course: Course, peak_bytes: int) -> dict[str, Any]:
    """Counts over all submissions of the store that belong to the swept pull requests."""
    refs = set(course.refs)
    table = db.execute(
        "SELECT p.ref, s.path, s.verdict, s.error, s.seconds, s.peak_bytes, s.same_as, l.same_program"
        " FROM submissions s JOIN pulls p ON p.id = s.pull LEFT JOIN lineage l ON l.submission = s.id"
    )
    rows = [row for row in table if row[0] in refs]
    seconds = sorted(row[4] for row in rows if row[4] and row[6] is None)
    states = [state for ref, state in db.execute("SELECT ref, state FROM pulls") if ref in refs]
    failed = [(r, n) for r, n in db.execute("SELECT ref, note FROM pulls WHERE state = 'error'") if r in refs]
    errors = [{"ref": r, "path": None, "reason": n} for r, n in failed]
    errors += [{"ref": row[0], "path": row[1], "reason": row[3]} for row in rows if row[3]]
    largest = max((row for row in rows if row[5]), key=lambda row: row[5], default=None)
    slowest = max((row for row in rows if row[4]), key=lambda row: row[4], default=None)
    return {
        "pull_requests": {
            "all": course.pulls, "with_submissions": states.count("submissions"), "without": states.count("none"),
            "not_read": states.count("error"), "looked_at_now": course.looked_at,
            "others_in_the_store": db.execute("SELECT count(*) FROM pulls").fetchone()[0] - len(states),
        },
        "submissions": {
            "all": len(rows), "audited_now": course.audited, "shared_now": course.shared,
            "up_to_date": course.up_to_date, "sharing_a_report": sum(row[6] is not None for row in rows),
            "same_program_as_an_earlier_one": sum(bool(row[7]) for row in rows),
        },
        "verdicts": {
            **{v.value: sum(row[2] == v.value for row in rows) for v in ORDER},
            "error": sum(bool(row[3]) for row in rows),
        },
        "errors": errors,
        "seconds": round(course.seconds, 2),
        "audit_seconds": round(course.audit_seconds, 2),
        "one_audit_seconds": {
            "median": _part(seconds, 0.5), "p95": _part(seconds, 0.95), "max": _part(seconds, 1.0),
            "slowest": slowest and f"{slowest[0]} {slowest[1]}",
        },
        "peak_bytes": {
            "one_audit": largest[5] if largest else 0, "largest": largest and f"{largest[0]} {largest[1]}",
            "sweep_itself": peak_bytes,
        },
    }  # fmt: skip


def as_text(told: Mapping[str, Any], store: str) -> str:
    """The figures as lines of at most 80 columns where names allow."""
    pulls, subs, cost, peak = (told[k] for k in ("pull_requests", "submissions", "one_audit_seconds", "peak_bytes"))
    said = [
        f"{pulls['all']:,} pull requests: {pulls['with_submissions']:,} add submissions, {pulls['without']:,} add "
        f"none, {pulls['not_read']:,} could not be read",
        f"{subs['all']:,} submissions: {subs['audited_now']:,} audited now, {subs['shared_now']:,} share the "
        f"report of an equal folder, {subs['up_to_date']:,} were up to date",
        f"{subs['same_program_as_an_earlier_one']:,} scripts are an earlier one's but for comments, formatting and "
        "docstrings",
        "",
        *(f"  {count:6,}  {name}" for name, count in told["verdicts"].items()),
        "",
        f"{clock(told['seconds'])} in all ({told['seconds']:.1f} s); one audit: median {cost['median']:.2f} s, 95 % "
        f"under {cost['p95']:.2f} s, longest {cost['max']:.2f} s",
        f"peak memory of one audit {peak['one_audit'] / 2**20:.0f} MiB, of the sweep itself "
        f"{peak['sweep_itself'] / 2**20:.0f} MiB (by the operating system)",
    ]
    lines = [part for line in said for part in textwrap.wrap(line, WIDTH, subsequent_indent="  ") or [""]]
    if pulls["others_in_the_store"]:
        lines.append(f"pull requests in the store that are not of this sweep: {pulls['others_in_the_store']:,}")
    for error in told["errors"][:SHOWN]:
        where = plain(f"{error['ref']} {error['path'] or ''}".strip(), 160)
        lines.append(f"error: {where}: {plain(error['reason'], 200)}")
    if len(told["errors"]) > SHOWN:
        lines.append(f"... and {len(told['errors']) - SHOWN:,} more errors; --format json lists all")
    lines.append(f"store: {store}")
    return "\n".join(lines) + "\n"


def _part(values: list[float], share: float) -> float:
    """The value below which ``share`` of the sorted values lie; 0 for none."""
    if not values:
        return 0.0
    return values[min(len(values) - 1, int(len(values) * share))]
