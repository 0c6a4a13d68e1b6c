"""Rulings are dated: which rules are in force on a date, and the edition that a report names."""

from __future__ import annotations

from datetime import date

from auditor.core.types import RuleMeta

EDITION = date(2026, 5, 2)
"""Date of the last ruling that the rules know of (the competition's final leaderboard update)."""


def edition(as_of: date | None) -> str:
    """The edition judged by: the asked date, at most the last one known."""
    return min(as_of or EDITION, EDITION).isoformat()


def in_force(meta: RuleMeta, as_of: date | None) -> bool:
    """Whether the ruling had been given by ``as_of`` (None: all rulings hold). Raises ValueError on a bad ``since``."""
    return as_of is None or date.fromisoformat(meta.since) <= as_of
