"""The re-run in reports: as sentences for readers, and as a block of the JSON report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from auditor.core.rerun import RerunInfo, RerunSeed

SHOWN = 12
"""Seeds that are listed; JSON has them all."""


def lines(info: RerunInfo | None) -> list[str]:
    """Sentences: outcome, reasons, seeds, tests. None without a re-run."""
    if info is None:
        return []
    counted = "" if info.equivalent else " (its seconds and scores do not count)"
    found = [f"Re-run of {info.started[:10]} on {info.machine}{counted}: {info.outcome}.", *info.reasons]
    found += [_seed(one) for one in info.seeds[:SHOWN]]
    if len(info.seeds) > SHOWN:
        found.append(f"and {len(info.seeds) - SHOWN} more seeds")
    return [*found, *info.tests]


def document(info: RerunInfo | None) -> dict[str, Any] | None:
    """Plain values for JSON."""
    if info is None:
        return None
    return {
        "outcome": info.outcome, "reasons": list(info.reasons), "started": info.started, "machine": info.machine,
        "equivalent": info.equivalent, "seeds": [asdict(one) for one in info.seeds], "tests": list(info.tests),
    }  # fmt: skip


def read(told: Mapping[str, Any] | None) -> RerunInfo | None:
    """The inverse of `document`. KeyError or TypeError where it is none."""
    if told is None:
        return None
    return RerunInfo(
        told["outcome"], tuple(told["reasons"]), told["started"], told["machine"], told["equivalent"],
        tuple(RerunSeed(**one) for one in told["seeds"]), tuple(told["tests"]),
    )  # fmt: skip


def _seed(one: RerunSeed) -> str:
    name = "a run" if one.seed is None else f"seed {one.seed}"
    score = "no score" if one.measured is None else f"{one.measured:.5f} measured"
    if one.stated is not None:
        score += f", {one.stated:.5f} stated"
    if one.stated is not None and one.measured is not None:
        score += f" ({one.measured - one.stated:+.5f})"
    figures = (
        ("training {:.1f} s", one.train_seconds), ("evaluation {:.1f} s", one.eval_seconds),
        ("{:,} bytes", one.bytes_total), ("{:,} steps", one.steps),
    )  # fmt: skip
    told = [text.format(value) for text, value in figures if value is not None]
    return "; ".join([f"{name}: {one.end}, {score}", *([", ".join(told)] if told else [])])
