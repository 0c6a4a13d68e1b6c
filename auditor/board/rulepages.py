"""What a rule's page says: its own text, what was measured of it, and how often this sweep found it."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from auditor.board.rows import Row
from auditor.core.rule import Rule, sections
from auditor.core.types import RuleMeta, Witness
from auditor.report.rules import MARKS, MEASURED

__all__ = ["MARKS", "RulePage", "pages"]


@dataclass(frozen=True, slots=True)
class RulePage:
    """One rule."""

    meta: RuleMeta
    witnesses: str
    sections: Mapping[str, str]
    precision: float | None
    recall: float | None
    labels: str
    """How the figures were counted; empty: no labelled submission tells of the rule."""
    found: tuple[Row, ...]
    outcomes: Mapping[str, int]
    """Submissions by outcome: found, unknown, error."""


def pages(rules: Mapping[str, Rule], rows: Iterable[Row]) -> list[RulePage]:
    """A page for every rule, in their order."""
    figures = _figures()
    found: dict[str, list[Row]] = {}
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        for outcome in ("found", "unknown", "error"):
            for rule in row.rules(outcome):
                counts.setdefault(rule, Counter())[outcome] += 1
                if outcome == "found":
                    found.setdefault(rule, []).append(row)
    return [_page(i, r, figures.get(i, {}), found.get(i, []), counts.get(i, Counter())) for i, r in rules.items()]


def _page(rule_id: str, rule: Rule, own: Mapping[str, Any], found: list[Row], counts: Counter[str]) -> RulePage:
    heard = [w.value for w in Witness if rule.covers(w)]
    return RulePage(
        rule.meta(), ", ".join(heard) or "none yet", sections(inspect.getdoc(type(rule)) or ""),
        own.get("precision"), own.get("recall"), own.get("labels", ""), tuple(found), counts,
    )  # fmt: skip


def _figures() -> dict[str, dict[str, Any]]:
    try:
        text = resources.files("rules").joinpath(MEASURED).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    figures: dict[str, dict[str, Any]] = json.loads(text)
    return figures
