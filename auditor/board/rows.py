"""What the board shows of a store: a row for each submission, read once; reports are read one at a time."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import dataclass
from typing import Any

from auditor.core.text import plain
from auditor.sweep.store import unpacked

ERROR = "error"
"""Stands where a verdict would, of a submission whose audit ended without a report."""
VERDICTS = ("non_compliant", "needs_review", "inconclusive", "no_violation_found", ERROR)
WORDS = {
    "non_compliant": "Non-compliant",
    "needs_review": "Needs review",
    "inconclusive": "Inconclusive",
    "no_violation_found": "No violation found",
    ERROR: "Error",
}
_DAY = re.compile(r"^\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Found:
    """A rule that was found (or could not be decided) by a witness, with the best confidence."""

    rule: str
    witness: str
    outcome: str
    confidence: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """The earlier submission that the script is nearest to."""

    nearest: int
    similarity: float
    same: bool
    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One submission."""

    id: int
    page: str
    """File name of its page."""
    number: int | None
    ref: str
    title: str
    path: str
    name: str
    author: str
    track: str
    date: str
    """ISO day: stated, else of the folder's name, else of the head commit; may be empty."""
    bpb: float | None
    verdict: str
    reason: str
    complete: bool
    ready: bool | None
    error: str
    same_as: int | None
    seconds: float
    peak_bytes: int
    results: tuple[Found, ...]
    lineage: Lineage | None

    @property
    def label(self) -> str:
        """``#123``, or the ref's name."""
        return f"#{self.number}" if self.number is not None else self.ref

    @property
    def folder(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2] or self.path

    def rules(self, outcome: str = "found") -> list[str]:
        """Ids of the rules with this outcome, sorted."""
        return sorted({r.rule for r in self.results if r.outcome == outcome})


@dataclass(frozen=True, slots=True)
class Other:
    """A pull request without a submission, and why."""

    label: str
    title: str
    author: str
    state: str
    note: str


def rows(db: sqlite3.Connection) -> list[Row]:
    """Every submission, by pull request and path. Those not audited yet (a sweep was interrupted) are left out."""
    results = _results(db)
    lineage = {r["submission"]: _lineage(r) for r in db.execute("SELECT * FROM lineage WHERE nearest IS NOT NULL")}
    table = db.execute(
        "SELECT s.*, p.number, p.ref, p.title, p.author AS committer, p.date AS day FROM submissions s"
        " JOIN pulls p ON p.id = s.pull WHERE s.key IS NOT NULL"
        " ORDER BY p.number IS NULL, p.number, p.ref, s.path"
    )
    return [_row(r, results.get(r["id"], ()), lineage.get(r["id"])) for r in table]


def others(db: sqlite3.Connection) -> list[Other]:
    """Pull requests that add no submission, or could not be read."""
    table = db.execute("SELECT * FROM pulls WHERE state <> 'submissions' ORDER BY number IS NULL, number, ref")
    return [
        Other(_label(r), plain(r["title"], 200), plain(r["author"], 80), r["state"], plain(r["note"], 300))
        for r in table
    ]


def waiting(db: sqlite3.Connection) -> int:
    """Submissions that are not audited yet."""
    return int(db.execute("SELECT count(*) FROM submissions WHERE key IS NULL").fetchone()[0])


def report(db: sqlite3.Connection, row: Row) -> dict[str, Any] | None:
    """The JSON document of one submission; None when its audit ended in an error."""
    found: dict[str, Any] | None = unpacked(
        db.execute("SELECT report FROM submissions WHERE id = ?", (row.id,)).fetchone()[0]
    )
    return found


def last_run(db: sqlite3.Connection) -> dict[str, Any]:
    """Of the sweep that ended last: tool, edition, source, time; empty when none came to its end."""
    found = db.execute("SELECT * FROM runs WHERE ended IS NOT NULL ORDER BY id DESC LIMIT 1").fetchone()
    return {key: found[key] for key in found.keys()} if found is not None else {}  # noqa: SIM118 (a row of SQLite)


def _row(r: sqlite3.Row, results: tuple[Found, ...], lineage: Lineage | None) -> Row:
    date = r["date"] or (r["day"][:10] if _DAY.match(r["day"]) else "")
    ready = None if r["record_ready"] is None else bool(r["record_ready"])
    return Row(
        id=r["id"], page=f"{r['number'] if r['number'] is not None else 'x'}-{r['id']}.html", number=r["number"],
        ref=plain(r["ref"], 120), title=plain(r["title"], 200), path=plain(r["path"], 300),
        name=plain(r["name"] or "", 200), author=plain(r["author"] or r["committer"], 80),
        track=plain(r["track"] or "", 60), date=date, bpb=r["stated_bpb"],
        verdict=ERROR if r["error"] else r["verdict"], reason=plain(r["reason"] or "", 400),
        complete=bool(r["complete"]), ready=ready, error=plain(r["error"], 500), same_as=r["same_as"],
        seconds=r["seconds"] or 0.0, peak_bytes=r["peak_bytes"] or 0, results=results, lineage=lineage,
    )  # fmt: skip


def _results(db: sqlite3.Connection) -> dict[int, tuple[Found, ...]]:
    grouped: dict[int, list[Found]] = {}
    for r in db.execute("SELECT * FROM results WHERE suppressed = 0 ORDER BY submission, rule, witness"):
        grouped.setdefault(r["submission"], []).append(Found(r["rule"], r["witness"], r["outcome"], r["confidence"]))
    return {submission: tuple(found) for submission, found in grouped.items()}


def _lineage(r: sqlite3.Row) -> Lineage:
    changed, added, removed = (_names(r[key]) for key in ("changed", "added", "removed"))
    return Lineage(r["nearest"], r["similarity"], bool(r["same_program"]), changed, added, removed)


def _names(text: str) -> tuple[str, ...]:
    return tuple(plain(name, 80) for name in json.loads(text))


def _label(r: sqlite3.Row) -> str:
    return f"#{r['number']}" if r["number"] is not None else plain(r["ref"], 120)
