"""The table of a re-run: what is stated beside what was measured, one `Claim` a figure, and one line a seed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from auditor.core.types import Claim, Place
from auditor.rerun import times
from auditor.rerun.claimed import Claimed
from auditor.rerun.compare import Comparison
from auditor.rerun.facts import RerunRecord, SeedEnd, SeedRun
from auditor.rerun.judged import SeedLine

HIGHEST = 20.0
"""Bits per byte: 8 is what a uniform guess of bytes costs; beyond this a figure is no score."""


def score_of(run: SeedRun) -> float | None:
    """The headline score of a finished run; None where there is none or it is no usable number."""
    if run.end is not SeedEnd.FINISHED or run.headline is None:
        return None
    bpb = run.headline.bpb
    usable = isinstance(bpb, float | int) and not isinstance(bpb, bool) and math.isfinite(bpb) and 0 < bpb < HIGHEST
    return float(bpb) if usable else None


def seed_lines(record: RerunRecord, claimed: Claimed, tolerance: float) -> tuple[SeedLine, ...]:
    """One line for each run, in the order of the record."""
    return tuple(_line(run, claimed, tolerance) for run in record.seeds)


def _line(run: SeedRun, claimed: Claimed, tolerance: float) -> SeedLine:
    measured, own = score_of(run), claimed.of_seed(run.seed)
    stated = claimed.score if own is None else own
    against = "" if stated is None else ("this seed's stated score" if own is not None else "the stated score")
    within = None if measured is None or stated is None else measured - stated <= tolerance
    return SeedLine(
        run.seed, run.end, measured, stated, against, within, run.bytes_total,
        deciding(times.training(run)), deciding(times.evaluation(run)), run.steps, run.reason,
    )  # fmt: skip


def deciding(readings: tuple[times.Reading, ...]) -> float | None:
    """Seconds of the mildest reading that decides."""
    return min((r.seconds for r in readings if r.decides), default=None)


def claim_table(record: RerunRecord, claimed: Claimed, comparison: Comparison) -> tuple[Claim, ...]:
    """The figures that are stated or were measured; those with neither are left out."""
    if record.hardware.toy:
        stated_only = (claim for claim in claimed.claims if claim.stated is not None)
        return tuple(replace(claim, measured=None, how="toy world: nothing to compare") for claim in stated_only)
    runs = [run for run in record.seeds if run.end is SeedEnd.FINISHED]
    stated = {claim.kind: claim for claim in claimed.claims}
    figures = comparison.statistics
    found = [_score_claim(claimed, comparison)]
    found += [
        Claim(f"val_bpb_seed_{run.seed}", claimed.of_seed(run.seed), claimed.place_of_seed(run.seed), score, "re-run")
        for run in runs if run.seed is not None and (score := score_of(run)) is not None
    ]  # fmt: skip
    largest = max((run for run in runs if run.bytes_total is not None), key=lambda r: r.bytes_total or 0, default=None)
    measured: tuple[tuple[str, float | int | None, str], ...] = (
        ("bytes_total", largest.bytes_total if largest else None, "artifact and code of the largest re-run seed"),
        ("bytes_model", largest.artifact_bytes if largest else None, f"the file {largest.artifact}" if largest else ""),
        ("bytes_code", largest.code_bytes if largest else None, "files that the run needs, as shipped"),
        ("train_seconds", _most(deciding(times.training(r)) for r in runs), "re-run, longest seed"),
        ("eval_seconds", _most(deciding(times.evaluation(r)) for r in runs), "re-run, longest seed"),
    )
    for kind, value, how in measured:
        claim = stated.get(kind)
        found.append(Claim(kind, claim.stated if claim else None, claim.where if claim else Place(field=kind), value,
                           how if value is not None else None))  # fmt: skip
    found.append(Claim("seeds", claimed.n, Place(field="seeds"), figures.n, "re-run to a score"))
    found.append(Claim("steps", claimed.steps, claimed.steps_at, _least(r.steps for r in runs), "re-run, fewest"))
    found.append(Claim("tokens", claimed.tokens, claimed.steps_at, _least(r.tokens for r in runs), "re-run, fewest"))
    return tuple(claim for claim in found if claim.stated is not None or claim.measured is not None)


def _score_claim(claimed: Claimed, comparison: Comparison) -> Claim:
    figures = comparison.statistics
    how = f"re-run, mean of {figures.n} seed{'s' * (figures.n != 1)}" if figures.n else None
    return Claim("val_bpb", claimed.score, claimed.score_at, figures.mean, how)


def _most(values: Iterable[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)


def _least(values: Iterable[int | None]) -> int | None:
    return min((v for v in values if v is not None), default=None)
