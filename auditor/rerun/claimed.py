"""What a submission states, as the re-run compares it: plain values out of the record witness's facts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from auditor.core.submission import Submission
from auditor.core.types import Claim, Place
from auditor.record.facts import RecordFacts, Run, Test
from auditor.record.stated import SEED_LISTS, read_claims

SAME = 1e-4
"""Scores nearer than this are the same figure, stated with fewer digits."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The stated side. Scores in bits per byte, sizes in bytes, times in seconds; None: not stated."""

    score: float | None = None
    """The headline."""
    score_at: Place = field(default_factory=lambda: Place(field="val_bpb"))
    by_seed: tuple[tuple[int, float], ...] = ()
    """(seed, score) where single seeds' scores are stated or logged."""
    std: float | None = None
    """Sample deviation (ddof 1) of the stated scores."""
    n: int = 1
    """Seeds behind the headline, as far as known."""
    by_seed_at: tuple[tuple[int, Place], ...] = ()
    """(seed, place) of the scores in ``by_seed``."""
    steps: int | None = None
    """Of the logged runs behind the headline, the fewest."""
    tokens: int | None = None
    steps_at: Place = field(default_factory=lambda: Place(field="steps"))
    code_packed: int | None = None
    """Bytes of the shipped code under the best of three compressors."""
    entry_bytes: int | None = None
    record_track: bool = True
    """False where the folder stands in a track without time budgets."""
    bytes_per_token: float | None = None
    tests: tuple[Test, ...] = ()
    """The record witness's tests: the rows that the submission claims to beat."""
    claims: tuple[Claim, ...] = ()

    @property
    def is_mean(self) -> bool:
        """Whether the headline is the mean of the stated single scores."""
        scores = [score for _, score in self.by_seed]
        return bool(scores) and self.score is not None and abs(statistics.fmean(scores) - self.score) <= SAME

    def place_of_seed(self, seed: int | None) -> Place:
        """Where the score of ``seed`` is stated."""
        return next((at for number, at in self.by_seed_at if number == seed), self.score_at)

    def of_seed(self, seed: int | None) -> float | None:
        """The score stated for ``seed``."""
        return next((score for number, score in self.by_seed if number == seed), None)


def claimed_of(submission: Submission, facts: RecordFacts) -> Claimed:
    """Collect what ``submission`` states. Submission.json's scores by seed win over the logs'.

    Logs that do not show the headline are another run's: their seeds are no claim.
    """
    stated = read_claims(submission)
    logged = facts.metric.scores if facts.metric.how != "not logged" else ()
    by_seed = {seed: score for _, seed, score, _ in logged if seed is not None} | stated.seed_scores
    places = {seed: at for _, seed, _, at in logged if seed is not None}
    places |= dict.fromkeys(stated.seed_scores, _scores_at(submission))
    std = stated.std.value if stated.std is not None else facts.metric.std
    runs = [run for run in facts.judged() if run.is_training]
    sizes = facts.sizes
    return Claimed(
        score=facts.metric.headline,
        score_at=facts.metric.headline_at or Place(field="val_bpb"),
        by_seed=tuple(sorted(by_seed.items())),
        std=std,
        n=max(len(by_seed), len(stated.seeds), 1),
        by_seed_at=tuple(sorted(places.items(), key=lambda pair: pair[0])),
        steps=min((s for run in runs if (s := _steps(run)) is not None), default=None),
        steps_at=next((run.stop.at for run in runs if run.stop is not None), Place(field="steps")),
        tokens=min((t for run in runs if (t := _tokens(run)) is not None), default=None),
        code_packed=sizes.code_packed if sizes else None,
        entry_bytes=submission.entry.shipped_bytes if submission.entry else None,
        record_track=submission.track != "track_non_record_16mb",
        bytes_per_token=facts.metric.ratio,
        tests=facts.stats.tests,
        claims=facts.claims,
    )


def claimed_numbers(scores: Sequence[float], std: float | None = None) -> Claimed:
    """The stated side from bare scores, as published somewhere. ValueError without a usable score."""
    usable = [float(s) for s in scores]
    if not usable or not all(0.0 < s < 20.0 for s in usable):
        raise ValueError("a claimed score is a number of bits per byte between 0 and 20")
    if len(usable) > 1:
        std = statistics.stdev(usable)
    return Claimed(statistics.fmean(usable), Place(field="--claimed"), std=std, n=len(usable))


def _scores_at(submission: Submission) -> Place:
    """The field of submission.json that holds scores by seed."""
    data = submission.metadata.data if submission.metadata and submission.metadata.data else {}
    for key in SEED_LISTS:
        value = data.get(key)
        if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict) for one in value)):
            return Place(field=key)
    return Place(field="seeds")


def _steps(run: Run) -> int | None:
    if run.stop is not None:
        return run.stop.step
    return run.steps[-1].step if run.steps else None


def _tokens(run: Run) -> int | None:
    """Steps times the logged tokens of a batch."""
    steps, batch = _steps(run), run.settings.get("train_batch_tokens", ("",))[0].strip()
    return steps * int(batch) if steps is not None and batch.isdecimal() and len(batch) < 12 else None
