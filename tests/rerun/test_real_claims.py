"""What real submissions state, read for the judgement: a re-run that measured exactly that reproduces it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.intake import load_submission
from auditor.record import analyse
from auditor.rerun.claimed import Claimed, claimed_of
from auditor.rerun.facts import RunOutcome
from auditor.rerun.outcome import judge_claimed
from tests.benchmarks.corpus_git import Corpus
from tests.rerun.judging import finished, record

GIT = os.environ.get("GOLF_CORPUS_GIT", "")
DRAWN = 40
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not GIT, reason="GOLF_CORPUS_GIT names no repository"),
]


@pytest.fixture(scope="module")
def stated(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Claimed]:
    """The stated figures of submissions drawn at random that have a folder and a score."""
    return dict(_drawn(tmp_path_factory.mktemp("corpus")))


def _drawn(place: Path) -> Iterator[tuple[int, Claimed]]:
    corpus = Corpus(Path(GIT))
    try:
        numbers = corpus.pull_requests()
        for number in random.Random(5).sample(numbers, DRAWN):
            folders = corpus.folders(number)
            if len(folders) != 1:
                continue
            submission = load_submission(corpus.lay_out(folders[0], place / str(number)))
            claimed = claimed_of(submission, analyse(submission))
            if claimed.score is not None and 0 < claimed.score < 20:
                yield number, claimed
    finally:
        corpus.close()


def test_there_are_enough(stated: dict[int, Claimed]) -> None:
    assert len(stated) >= DRAWN // 3
    assert any(len(claimed.by_seed) >= 3 for claimed in stated.values())


def _outcome(claimed: Claimed, worse: float) -> RunOutcome:
    seeds = claimed.by_seed or ((1, claimed.score or 0.0),)
    runs = [finished(seed, score + worse, artifact_bytes=15_000_000, code_bytes=10_000) for seed, score in seeds]
    return judge_claimed(record(*runs), replace(claimed, record_track=True)).outcome


def test_what_is_claimed_reproduces_itself_and_nothing_far_worse_does(stated: dict[int, Claimed]) -> None:
    for number, claimed in stated.items():
        honest = claimed.is_mean or not claimed.by_seed or any(s == claimed.score for _, s in claimed.by_seed)
        if honest:
            assert _outcome(claimed, 0.0) is RunOutcome.REPRODUCED, number
            assert _outcome(claimed, 0.001) is RunOutcome.REPRODUCED, number
        assert _outcome(claimed, 0.02) is RunOutcome.NOT_REPRODUCED, number
