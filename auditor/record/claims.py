"""The claims of a submission beside what the record measures: the report's table."""

from __future__ import annotations

from auditor.core.types import Claim, Place
from auditor.record.facts import MetricFacts, Run, SeedFacts, SizeFacts
from auditor.record.stated import Claims, Stated


def claim_list(
    claims: Claims, runs: tuple[Run, ...], sizes: SizeFacts, metric: MetricFacts, seeds: SeedFacts
) -> tuple[Claim, ...]:
    """One claim for each kind of figure that is stated or measured."""
    train = [run.times.train for run in runs if run.times and run.times.train is not None]
    needed = [run.times.eval_needed for run in runs if run.times and run.times.eval_needed is not None]
    params = next((round(run.params.value) for run in runs if run.params), None)
    measured_total = sizes.logged if sizes.logged is not None else sizes.shipped
    stated_seeds = len(claims.seeds) or (round(claims.seed_count.value) if claims.seed_count else None)
    score = metric.mean if metric.how == "mean of seeds" else (metric.headline if metric.how == "one log" else None)
    return tuple(claim for claim in (
        _claim("val_bpb", claims.score, score, metric.how),
        _claim("val_loss", claims.loss, None, None),
        _claim("bytes_total", claims.total, measured_total, f"{sizes.decision.value}: {sizes.why}"),
        _claim("bytes_model", claims.model, sizes.model, "last logged compressed model, largest over the seeds"),
        _claim("bytes_code", claims.code, sizes.code_shipped, "files that the run needs, as shipped"),
        _claim("train_seconds", claims.train_seconds, max(train, default=None), "training clock, longest run"),
        _claim("eval_seconds", claims.eval_seconds, max(needed, default=None), "evaluation that the score needs"),
        Claim("seeds", stated_seeds, claims.seeds_at or Place(field="seeds"), seeds.count, "distinct logged runs"),
        _claim("params", claims.params, params, "model_params line"),
        _claim("vocab_size", claims.vocab, None, None),
        _claim("bytes_per_token", None, metric.ratio, "what the scores imply"),
    ) if claim.stated is not None or claim.measured is not None)


def _claim(kind: str, stated: Stated | None, measured: float | int | None, how: str | None) -> Claim:
    value = None if stated is None else (int(stated.value) if stated.value == int(stated.value) else stated.value)
    where = stated.at if stated else Place(field=kind)
    return Claim(kind, value, where, measured, how if measured is not None else None)
