"""The competition's repository itself: every pull request can be read, and those whose answer is known are found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.sweep.gitsource import GitSource
from auditor.sweep.types import Planned
from auditor.sweep.worker import Config, Worker

CORPUS = os.environ.get("GOLF_CORPUS_GIT", "")
pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS, reason="GOLF_CORPUS_GIT is not set: no copy of the competition's repository"),
]
SEEDS = (598, 644, 861, 1406)


@pytest.fixture(scope="module")
def source() -> Iterator[GitSource]:
    opened = GitSource(Path(CORPUS), "refs/pull/*/head")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def plans(source: GitSource) -> dict[int, Planned]:
    return {pull.number or 0: source.plan(pull) for pull in source.pulls()}


def test_every_pull_request_can_be_read(plans: dict[int, Planned]) -> None:
    with_folders = [plan for plan in plans.values() if plan.folders]
    assert len(plans) > 2_000 and len(with_folders) > 1_800
    assert all(plan.folders or plan.note for plan in plans.values())
    inside = [f for plan in with_folders for f in plan.folders if f.path.startswith("records/")]
    assert len(inside) > 0.95 * sum(len(plan.folders) for plan in with_folders)


def test_merged_pull_requests_are_found_by_what_they_brought(plans: dict[int, Planned]) -> None:
    merged = (549, 1019, 1060, 1204, 1493)
    assert all(len(plans[number].folders) >= 1 and plans[number].folders[0].path.startswith("records/track_")
               for number in merged)  # fmt: skip


def test_the_seeds_are_audited_without_an_error(source: GitSource, plans: dict[int, Planned], tmp_path: Path) -> None:
    worker = Worker(Config({}, ("source", "record")), source, tmp_path)
    heads = {pull.number: pull for pull in source.pulls()}
    for number in SEEDS:
        for folder in plans[number].folders:
            request = {"do": "audit", "ref": heads[number].ref, "head": heads[number].head, "path": folder.path}
            told = worker.answer(request)["audited"]
            assert told["error"] == "" and told["report"]["submission"]["path"] == folder.path
            assert "found" in {r["outcome"] for r in told["report"]["results"]}
            assert not [r for r in told["report"]["results"] if r["outcome"] == "error"]
