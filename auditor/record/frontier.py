"""The dated figures of the competition: margins and the rows of its leaderboard (``rules/editions/*.json``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

_NAME = "2026-05-02.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One leaderboard row: ISO date, score in bits per byte, name."""

    date: str
    score: float
    name: str


@dataclass(frozen=True, slots=True)
class Edition:
    """Margins and rows of one edition."""

    margin_nats: float
    record_p: float
    practice_p: float
    practice_since: str
    """ISO date from which rows were accepted by the practice reading."""
    seeds: int
    rows: tuple[Row, ...]

    def frontier(self, before: str) -> Row | None:
        """The best row of a day strictly before ``before`` (ISO date)."""
        earlier = [row for row in self.rows if row.date < before[:10]]
        return min(earlier, key=lambda row: row.score, default=None)


@cache
def load_edition() -> Edition:
    """Read the shipped edition. Raises OSError or KeyError when the installation is broken."""
    raw = json.loads((resources.files("rules") / "editions" / _NAME).read_text(encoding="utf-8"))
    return Edition(
        margin_nats=float(raw["record_margin_nats"]),
        record_p=float(raw["record_p"]),
        practice_p=float(raw["practice_p"]),
        practice_since=str(raw["practice_since"]),
        seeds=int(raw["seeds"]),
        rows=tuple(Row(r["date"], float(r["score"]), r["row"]) for r in raw["rows"]),
    )
