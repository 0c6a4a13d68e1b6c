"""One-sided Welch tests on scores: pure functions, keyword only, sample deviations with ddof 1 throughout."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """Mean, sample standard deviation (ddof 1) and size of a set of scores; lower scores are better."""

    mean: float
    std_ddof1: float
    n: int

    @staticmethod
    def of(values: Sequence[float]) -> Sample:
        """Summarise raw values; ValueError for fewer than two."""
        if len(values) < 2:
            raise ValueError("a sample needs at least two values")
        return Sample(statistics.fmean(values), statistics.stdev(values), len(values))


def welch_p(*, new: Sample, old: Sample, margin: float = 0.0) -> float:
    """p that ``new`` is not better than ``old`` by more than ``margin`` (same unit as the scores), one-sided.

    Welch's t = (old.mean - margin - new.mean) / sqrt(s1^2/n1 + s2^2/n2) with Satterthwaite's degrees of freedom.
    Both deviations zero: 0.0 or 1.0 by the sign. ValueError for n < 2 or a negative or non-finite deviation.
    """
    for sample in (new, old):
        finite = math.isfinite(sample.std_ddof1) and math.isfinite(sample.mean)
        if sample.n < 2 or not finite or sample.std_ddof1 < 0:
            raise ValueError("each sample needs n >= 2 and a finite mean and deviation")
    gain = old.mean - margin - new.mean
    a, b = new.std_ddof1**2 / new.n, old.std_ddof1**2 / old.n
    if a + b == 0.0:
        return 0.0 if gain > 0 else 1.0
    t = gain / math.sqrt(a + b)
    freedom = (a + b) ** 2 / (a**2 / (new.n - 1) + b**2 / (old.n - 1))
    return _upper_tail(t, freedom)


def one_sample_p(*, new: Sample, baseline: float, margin: float = 0.0) -> float:
    """p that ``new`` is not better than a fixed ``baseline`` by more than ``margin``: a lower bound on Welch's p.

    For baselines whose seeds are not known. ValueError as in `welch_p`.
    """
    if new.n < 2 or not math.isfinite(new.std_ddof1) or new.std_ddof1 < 0:
        raise ValueError("the sample needs n >= 2 and a finite deviation")
    gain = baseline - margin - new.mean
    if new.std_ddof1 == 0.0:
        return 0.0 if gain > 0 else 1.0
    return _upper_tail(gain / (new.std_ddof1 / math.sqrt(new.n)), new.n - 1)


def nats_to_bpb(*, nats: float, bytes_per_token: float) -> float:
    """Nats per token as bits per byte: nats / (ln 2 x bytes per token)."""
    if bytes_per_token <= 0:
        raise ValueError("bytes per token must be positive")
    return nats / (math.log(2) * bytes_per_token)


def _upper_tail(t: float, freedom: float) -> float:
    """P(T > t) of Student's distribution; scipy is imported here because most audits never need it."""
    from scipy.special import stdtr

    return float(stdtr(freedom, -t))
