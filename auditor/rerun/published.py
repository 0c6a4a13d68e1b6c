"""Published scores, claimed and re-run, judged without a run: what the two numbers say by themselves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from auditor.rerun.judged import Judgement
from auditor.rerun.outcome import judge_numbers
from auditor.rerun.statistics import MOST_SEEDS

if TYPE_CHECKING:
    from auditor.rerun.judged import RowTest

MOST = 64
"""Scores that one list may have."""


def scores(option: str, text: str) -> list[float]:
    """``1.1502,1.1499`` as numbers; ValueError with one sentence for anything else."""
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    try:
        found = [float(word) for word in words]
    except ValueError:
        found = []
    if not found or len(found) > MOST or not all(math.isfinite(score) and 0 < score < 20 for score in found):
        raise ValueError(f"{option} takes scores in bits per byte with commas between; not {text[:100]!r}")
    return found


def judged(claimed: str, measured: str, *, std: float = 0.0, against: str = "", bytes_per_token: float = 0.0
           ) -> Judgement:  # fmt: skip
    """The judgement of two lists of scores as they were typed; 0 and "" stand for what is not given. ValueError."""
    if not claimed or not measured:
        raise ValueError("--claimed and --measured go together: the published score, and what a re-run gave")
    if not (math.isfinite(std) and 0 <= std < 1):
        raise ValueError(f"--claimed-std takes a deviation in bits per byte; not {std:g}")
    if bytes_per_token and not 0.1 <= bytes_per_token <= 100:
        raise ValueError(f"--bytes-per-token takes a number from 0.1 to 100; not {bytes_per_token:g}")
    return judge_numbers(
        scores("--claimed", claimed), scores("--measured", measured), claimed_std=std or None,
        baseline=scores("--against", against) if against else (), bytes_per_token=bytes_per_token or None,
    )  # fmt: skip


def rows(judgement: Judgement) -> list[tuple[str, str]]:
    """(name, text) of a judgement: outcome, reasons, statistics."""
    return [("outcome", judgement.outcome.value), *(("", r) for r in judgement.reasons), *statistics(judgement)]


def statistics(judgement: Judgement) -> list[tuple[str, str]]:
    """(name, text) of what the measured scores say: spread, tolerance, the rows to beat."""
    figures = judgement.statistics
    if figures is None or figures.mean is None:
        return []
    spread = f", deviation {figures.std:.5f}" if figures.std is not None else ""
    found = [("measured", f"mean {figures.mean:.5f} of {figures.n}{spread}")]
    if figures.same_seed_std is not None:
        found.append(("", f"runs of one and the same seed: deviation {figures.same_seed_std:.5f}"))
    found.append(("tolerance", f"{figures.tolerance:.5f} ({figures.tolerance_why})"))
    if figures.gap_p is not None:
        found.append(("", f"p = {figures.gap_p:.3g} that the re-run is no worse than the claim (Welch, one-sided)"))
    found += [("against" if not n else "", row_text(test)) for n, test in enumerate(figures.tests)]
    return found


def row_text(test: RowTest) -> str:
    """One test against a row to beat, in a sentence."""
    if test.p is None or test.p_without_margin is None:
        return f"{test.row} ({test.baseline:g}): {test.why}"
    more = f"{MOST_SEEDS:,} seeds at this spread would not bring p below 0.01"
    if test.further_seeds is not None:
        more = "enough for p < 0.01"
        if test.further_seeds:
            more = f"{test.further_seeds} more seed{'s' * (test.further_seeds > 1)} at this spread for p < 0.01"
    word = "better" if test.gain_bpb >= 0 else "worse"
    return (
        f"{test.row} ({test.baseline:g}): {word} by {abs(test.gain_bpb):.5f} bits per byte, {abs(test.gain_nats):.5f} "
        f"nats per token; p = {test.p:.3g} with the margin of 0.005 nats, {test.p_without_margin:.3g} without; {more}"
    )


def document(judgement: Judgement) -> dict[str, Any]:
    """The judgement as JSON, with the keys of a re-run's."""
    from dataclasses import asdict

    return {
        "outcome": judgement.outcome.value, "reasons": list(judgement.reasons), "seconds_total": 0.0, "phases": [],
        "claims": [
            {"kind": c.kind, "stated": c.stated, "where": {"field": c.where.field}, "measured": c.measured,
             "how": c.how} for c in judgement.claims
        ],
        "statistics": asdict(judgement.statistics) if judgement.statistics is not None else None,
    }  # fmt: skip
