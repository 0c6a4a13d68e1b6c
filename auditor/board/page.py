"""One submission's page, made from its JSON report: findings with their paths first, then what was not covered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

RANK = {"illegal": 0, "disputed": 1, "unruled": 2, "legal": 3}
LEVEL = {"high": 0, "medium": 1, "low": 2}
SHOWN, STEPS, NOTES, SETTINGS = 12, 16, 60, 300
"""Findings of one result, steps of one path, notes and settings that a page shows; more are counted."""


@dataclass(frozen=True, slots=True)
class Block:
    """One rule that was found, with what each witness says."""

    rule: str
    ruling: str
    kind: str
    results: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """A report divided as a reader wants it. Every result is in exactly one part."""

    findings: tuple[Block, ...]
    form: tuple[Block, ...]
    recognised: tuple[Block, ...]
    suppressed: tuple[Mapping[str, Any], ...]
    gaps: tuple[Mapping[str, Any], ...]
    clear: tuple[Mapping[str, Any], ...]
    idle: tuple[Mapping[str, Any], ...]


def divided(report: Mapping[str, Any]) -> Parts:
    """The results of a report by what a reader does with them."""
    results: list[Mapping[str, Any]] = report["results"]
    found = [r for r in results if r["outcome"] == "found" and "suppressed" not in r]
    legal = [r for r in found if r.get("ruling") == "legal"]
    against = [r for r in found if r.get("ruling") != "legal"]
    return Parts(
        findings=_blocks(r for r in against if r.get("kind") != "form"),
        form=_blocks(r for r in against if r.get("kind") == "form"),
        recognised=_blocks(legal),
        suppressed=tuple(r for r in results if r["outcome"] == "found" and "suppressed" in r),
        gaps=tuple(r for r in results if r["outcome"] in ("unknown", "error")),
        clear=tuple(r for r in results if r["outcome"] == "clear"),
        idle=tuple(r for r in results if r["outcome"] == "not_applicable"),
    )


def place(at: Mapping[str, Any]) -> str:
    """``file:line``, ``log:line`` or ``submission.json: field``."""
    if "field" in at:
        return f"submission.json: {at['field']}"
    name = at.get("file") or at.get("log") or "?"
    return f"{name}:{at['line']}" if "line" in at else str(name)


def _blocks(results: Iterable[Mapping[str, Any]]) -> tuple[Block, ...]:
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        grouped.setdefault(result["rule"], []).append(result)
    blocks = [
        Block(rule, own[0].get("ruling", "unruled"), own[0].get("kind", ""), tuple(own))
        for rule, own in grouped.items()
    ]
    return tuple(sorted(blocks, key=lambda b: (RANK.get(b.ruling, 9), _best(b), b.rule)))


def _best(block: Block) -> int:
    levels = [LEVEL.get(f["confidence"], 3) for r in block.results for f in r["findings"]]
    return min(levels, default=3)
