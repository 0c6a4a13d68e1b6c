"""Does the score beat the row it claims to beat, under the README's reading and under the one used in practice?"""

from __future__ import annotations

import re

from auditor.core.submission import Submission
from auditor.record.facts import MetricFacts, StatFacts, Test
from auditor.record.frontier import Edition, load_edition
from auditor.record.stated import Claims
from auditor.record.stats import Sample, nats_to_bpb, one_sample_p

_DATE = re.compile(r"(20\d\d-\d\d-\d\d)")
_TYPICAL_RATIO = 2.436
"""Bytes per token of the 1,024-piece vocabulary: the cautious conversion when the logs tell none."""


def stat_facts(submission: Submission, metric: MetricFacts, claims: Claims) -> StatFacts:
    """Test against every baseline that is stated and against the leaderboard row that stood before."""
    edition = load_edition()
    score = metric.mean if metric.mean is not None and metric.how == "mean of seeds" else metric.headline
    record = submission.track == "track_10min_16mb"
    if score is None:
        return StatFacts(claims_record=record, why="no score is stated")
    values = [s for _, _, s, _ in metric.scores]
    sample = Sample.of(values) if len(values) > 1 else _stated_sample(claims, score)
    day = submitted_on(submission, claims)
    row = edition.frontier(day) if day else None
    stated = [b for b in claims.baselines if _plausible(b.value, score)][:4]
    baselines = [(b.value, f"stated: {' '.join(b.key.split())}") for b in stated]
    if row is not None:
        baselines.append((row.score, f"leaderboard row {row.name} of {row.date}"))
    tests = tuple(_test(score, sample, value, name, metric.ratio, edition) for value, name in baselines)
    return StatFacts(
        tests=tests,
        claims_record=record,
        beats_frontier=None if row is None else score < row.score,
        frontier_name=row.name if row else None,
        frontier_score=row.score if row else None,
        why="" if tests else "no baseline is stated and no date tells the row to beat",
    )


def submitted_on(submission: Submission, claims: Claims) -> str | None:
    """ISO date from submission.json, else from the folder's name."""
    for text in (claims.date[0] if claims.date else "", submission.name):
        if match := _DATE.search(text):
            return match.group(1)
    return None


def _plausible(baseline: float, score: float) -> bool:
    """A row that a record could claim to beat: a little worse than the score, not another study's figure."""
    return -0.02 < baseline - score < 0.08 and baseline != score


def _stated_sample(claims: Claims, score: float) -> Sample | None:
    if len(claims.seed_scores) > 1:
        return Sample.of(list(claims.seed_scores.values()))
    count = len(claims.seeds)
    if claims.std is not None and count > 1 and 0 < claims.std.value < 0.1:
        return Sample(score, claims.std.value, count)
    return None


def _test(
    score: float, sample: Sample | None, baseline: float, name: str, ratio: float | None, edition: Edition
) -> Test:
    per_token = ratio or _TYPICAL_RATIO
    margin = nats_to_bpb(nats=edition.margin_nats, bytes_per_token=per_token)
    gain = baseline - score
    p = one_sample_p(new=sample, baseline=baseline, margin=margin) if sample else None
    lenient = one_sample_p(new=sample, baseline=baseline) if sample else None
    return Test(
        baseline=baseline, baseline_std=None, baseline_n=None, baseline_name=name, margin_nats=edition.margin_nats, p=p,
        p_without_margin=lenient, gain_bpb=gain, gain_nats=gain / margin * edition.margin_nats,
        why="" if sample else "fewer than two seeds: no test is possible",
    )
