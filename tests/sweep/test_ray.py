"""The same sweep on a real local Ray cluster of two nodes; without the extra ``ray`` this is skipped, saying so."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auditor.sweep.progress import Silent
from auditor.sweep.rayengine import RayEngine
from auditor.sweep.run import Asked, sweep
from auditor.sweep.store import Store
from auditor.sweep.types import Pull, SweepError
from auditor.sweep.worker import Config
from tests.sweep.repos import TRACK, Repository, submission, under

WITHOUT = importlib.util.find_spec("ray") is None
needs_ray = pytest.mark.skipif(WITHOUT, reason="the extra ray is not installed (pip install 'golf-audit[ray]')")


def config(repository: Repository) -> Config:
    where = {"kind": "git", "path": str(repository.path), "refs": "refs/pull/*/head", "base": ""}
    return Config(where, ("source", "record"), "--no-probe was given", scratch=str(repository.path.parent))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository.at(tmp_path_factory.mktemp("ray") / "contest.git")
    for number in range(1, 7):
        made.pull(number, under(f"{TRACK}/S{number}", submission(f"SEED = {number}\n" + submission()["train_gpt.py"])))
    return made


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one CPU each, as processes of this machine."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    made: Any = importlib.import_module("ray.cluster_utils").Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 << 20}
    )
    made.add_node(num_cpus=1, object_store_memory=100 << 20)
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.mark.slow
@needs_ray
def test_two_nodes_give_the_reports_of_one_machine(cluster: Any, repository: Repository, tmp_path: Path) -> None:
    pulls = [Pull(f"refs/pull/{n}/head", repository.heads[f"refs/pull/{n}/head"], n) for n in range(1, 7)]
    engine = RayEngine(config(repository), 0, cluster.address)
    store = Store(tmp_path / "ray.db")
    try:
        assert engine.slots == 2 and len(engine.nodes()) == 2, "one worker on each node"
        course = sweep(pulls, Asked("repo", "base", "2026"), store, engine, Silent())
        ours = reports(store.db)
        engine._ray.kill(engine._idle[0])
        engine.submit({"do": "plan", "ref": pulls[0].ref, "head": pulls[0].head})
        lost: list[Any] = []
        while not lost:
            lost = engine.collect(1.0)
        assert "was lost" in lost[0][1]["error"]
        for pull in pulls[:2]:
            engine.submit({"do": "plan", "ref": pull.ref, "head": pull.head})
        told: list[Any] = []
        while len(told) < 2:
            told += engine.collect(1.0)
        assert all("planned" in answer for _, answer in told), "another worker took its place"
    finally:
        engine.close()
        store.close()
    assert course.audited == 6

    from auditor.sweep.pool import LocalPool

    local = LocalPool(config(repository), 1)
    store = Store(tmp_path / "local.db")
    try:
        sweep(pulls, Asked("repo", "base", "2026"), store, local, Silent())
        assert reports(store.db) == ours and len(ours) == 6
    finally:
        local.close()
        store.close()


def reports(db: sqlite3.Connection) -> dict[str, Any]:
    from auditor.sweep.store import unpacked

    rows = db.execute("SELECT path, report FROM submissions")
    return {path: json.dumps(unpacked(report), sort_keys=True) for path, report in rows}


def test_without_ray_the_extra_is_named(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("auditor.sweep.rayengine.importlib.import_module", absent)
    with pytest.raises(SweepError, match=r"golf-audit\[ray\]"):
        RayEngine(config(repository), 1)


@pytest.mark.slow
@needs_ray
def test_a_cluster_that_is_not_there_is_one_sentence(repository: Repository) -> None:
    with pytest.raises(SweepError, match="no Ray cluster at"):
        RayEngine(config(repository), 1, "127.0.0.1:1")
