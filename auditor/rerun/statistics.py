"""Statistics of measured scores: tests against the row to beat, seeds still needed, spread. The tests themselves are
those of ``auditor.record.stats``: scores in bits per byte, lower is better, sample deviations with ddof 1."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from auditor.record.frontier import load_edition
from auditor.record.stats import Sample, nats_to_bpb, one_sample_p, welch_p
from auditor.rerun.judged import RowTest

CAUTIOUS_BYTES_PER_TOKEN = 2.436
"""Of the 1,024-piece vocabulary: the largest margin in bits per byte that 0.005 nats can be."""
MOST_SEEDS = 1000
"""Where more than this are needed, no number of seeds is given."""


def row_test(
    measured: Sequence[float], row: str, baseline: float | Sample, bytes_per_token: float | None
) -> RowTest | None:
    """The one-sided test of ``measured`` against ``baseline``: Welch's where its seeds are known, else one-sample.

    None without a measured score. The margin is 0.005 nats per token in bits per byte.
    """
    if not measured:
        return None
    edition = load_edition()
    margin = nats_to_bpb(nats=edition.margin_nats, bytes_per_token=bytes_per_token or CAUTIOUS_BYTES_PER_TOKEN)
    mean = baseline.mean if isinstance(baseline, Sample) else baseline
    gain = mean - statistics.fmean(measured)
    sample = Sample.of(measured) if len(measured) > 1 else None
    return RowTest(
        row=row, baseline=mean, margin_bpb=margin, gain_bpb=gain, gain_nats=gain / margin * edition.margin_nats,
        p=_p(sample, baseline, margin) if sample else None,
        p_without_margin=_p(sample, baseline, 0.0) if sample else None,
        further_seeds=further_seeds(sample, baseline, margin, edition.record_p) if sample else None,
        why="" if sample else "fewer than two seeds were measured: no test is possible",
    )  # fmt: skip


def further_seeds(sample: Sample, baseline: float | Sample, margin: float, level: float) -> int | None:
    """Seeds beyond ``sample.n`` until p < ``level``, were mean and deviation to stay as measured.

    0: it is there already. None: the gain is not above the margin, or more than `MOST_SEEDS` would be needed.
    """
    mean = baseline.mean if isinstance(baseline, Sample) else baseline
    if mean - margin - sample.mean <= 0:
        return None
    for n in range(sample.n, MOST_SEEDS + 1):
        if _p(Sample(sample.mean, sample.std_ddof1, n), baseline, margin) < level:
            return n - sample.n
    return None


def same_seed_spread(scores: Iterable[tuple[int | None, float]]) -> tuple[float, int] | None:
    """Pooled deviation of runs of one seed, with its degrees of freedom; None where no seed ran twice."""
    by_seed: dict[int, list[float]] = defaultdict(list)
    for seed, score in scores:
        if seed is not None:
            by_seed[seed].append(score)
    repeated = [runs for runs in by_seed.values() if len(runs) > 1]
    freedom = sum(len(runs) - 1 for runs in repeated)
    if not freedom:
        return None
    squares = sum((len(runs) - 1) * statistics.variance(runs) for runs in repeated)
    return math.sqrt(squares / freedom), freedom


def worse_p(claimed: Sample, measured: Sample) -> float:
    """Welch's one-sided p of the measured seeds being no worse than the claimed ones."""
    return welch_p(new=claimed, old=measured)


def _p(sample: Sample, baseline: float | Sample, margin: float) -> float:
    if isinstance(baseline, Sample):
        return welch_p(new=sample, old=baseline, margin=margin)
    return one_sample_p(new=sample, baseline=baseline, margin=margin)
