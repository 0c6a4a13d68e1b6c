"""The leaderboard as it would stand after the verdicts: who is left, who waits for a person, which rows would fall.

A score is what a submission states. A row that stands here was not refused; that is all a sweep can say of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from auditor.board.rows import Row
from auditor.record.frontier import Edition, load_edition

RECORD = "track_10min_16mb"
LEAST, MOST = 0.2, 4.0
"""Bits per byte: what lies outside is no score of this contest (a field left at 0, a loss in other units)."""
SHOWN = 200
_NUMBER = re.compile(r"^#(\d+)$")


@dataclass(frozen=True, slots=True)
class Place:
    """A submission's place by its stated score. ``standing`` is None for one that holds no place."""

    standing: int | None
    row: Row
    record: bool
    """Better than every earlier one that stands: it would have been a row of the leaderboard on its day."""


@dataclass(frozen=True, slots=True)
class Official:
    """A row of the competition's own leaderboard and what the sweep says of that pull request."""

    date: str
    score: float
    name: str
    row: Row | None


def candidates(rows: Iterable[Row]) -> list[Row]:
    """Submissions to the record track with a score; of a folder that several pull requests carry only the first."""
    first: dict[str, Row] = {}
    for row in rows:
        if row.track == RECORD and row.bpb is not None and LEAST < row.bpb < MOST:
            first.setdefault(row.path, row)
    return list(first.values())


def holds(row: Row) -> bool:
    """Whether a submission holds a place: no violation was found, and its form is that of a record row."""
    return row.verdict == "no_violation_found" and row.ready is True


def standing(rows: Iterable[Row]) -> list[Place]:
    """By stated score, without those that were refused; who waits or is not ready holds no place of his own."""
    left = [row for row in candidates(rows) if row.verdict != "non_compliant"]
    records = _records(row for row in left if holds(row))
    places: list[Place] = []
    count = 0
    for row in sorted(left, key=lambda r: (r.bpb or 0.0, r.date, r.number or 0)):
        stands = holds(row)
        count += stands
        places.append(Place(count if stands else None, row, row.id in records))
    return places


def official(rows: Iterable[Row], edition: Edition | None = None) -> list[Official]:
    """The competition's rows, newest first, each with its submission: of several in one pull request the one that
    states the row's score, else the nearest to it."""
    by_number: dict[int, list[Row]] = {}
    for row in rows:
        if row.number is not None:
            by_number.setdefault(row.number, []).append(row)
    found = []
    for listed in (edition or load_edition()).rows:
        match = _NUMBER.match(listed.name)
        own = by_number.get(int(match.group(1)), []) if match else []
        scored = [row for row in own if row.bpb is not None and row.track == RECORD] or own
        best = min(scored, key=lambda r, s=listed.score: abs((r.bpb or 9.0) - s), default=None)  # type: ignore[misc]
        found.append(Official(listed.date, listed.score, listed.name, best))
    return found[::-1]


def _records(rows: Iterable[Row]) -> set[int]:
    """Those that were better than all before them, by day and number."""
    best, found = MOST, set()
    for row in sorted((r for r in rows if r.date), key=lambda r: (r.date, r.number or 0)):
        if row.bpb is not None and row.bpb < best:
            best = row.bpb
            found.add(row.id)
    return found
