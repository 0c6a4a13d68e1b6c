"""Workers as processes: answers, deaths and hangs of a whole worker, and that none is left behind."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from auditor.sweep import pool, task
from auditor.sweep.gitsource import GitSource
from auditor.sweep.pool import LocalPool
from auditor.sweep.types import Opened, Pull, SweepError
from auditor.sweep.worker import Config, Worker, config_of
from tests.sweep.repos import TRACK, Repository, submission, under
from tests.sweep.test_child import ends

REFS = "refs/pull/*/head"
Pairs = list[tuple[Mapping[str, Any], Mapping[str, Any]]]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.at(tmp_path / "contest.git")
    for number in (1, 2, 3):
        made.pull(number, under(f"{TRACK}/S{number}", submission(val_bpb=number)))
    return made


def config(repository: Repository, **more: Any) -> Config:
    where = {"kind": "git", "path": str(repository.path), "refs": REFS, "base": ""}
    return Config(where, ("source", "record"), "it was not asked for", scratch=str(repository.path.parent), **more)


def audit_of(repository: Repository, number: int) -> dict[str, Any]:
    ref = f"refs/pull/{number}/head"
    return {"do": "audit", "id": number, "ref": ref, "head": repository.heads[ref], "path": f"{TRACK}/S{number}"}


def drained(engine: LocalPool, count: int) -> Pairs:
    done: Pairs = []
    deadline = time.monotonic() + 60
    while len(done) < count and time.monotonic() < deadline:
        done += engine.collect(0.2)
    return done


def test_workers_audit_and_leave_nothing(repository: Repository) -> None:
    engine = LocalPool(config(repository), 2)
    try:
        engine.submit(audit_of(repository, 1))
        engine.submit(audit_of(repository, 2))
        done = drained(engine, 2)
    finally:
        engine.close()
    assert {request["id"] for request, _ in done} == {1, 2}
    for request, answer in done:
        report = answer["audited"]["report"]
        assert report["submission"]["path"] == request["path"] and report["verdict"] and not answer["audited"]["error"]
        assert "contest.git" not in json.dumps(report) and "golf-sweep" not in json.dumps(report)
    assert not list(repository.path.parent.glob("golf-sweep-*"))


def test_a_worker_that_dies_costs_its_request_only(repository: Repository) -> None:
    engine = LocalPool(config(repository), 1)
    try:
        victim = engine._idle[0]._process.pid
        os.kill(victim, signal.SIGSTOP)
        engine.submit(audit_of(repository, 1))
        os.kill(victim, signal.SIGKILL)
        ((request, answer),) = drained(engine, 1)
        assert request["id"] == 1 and "signal 9" in answer["error"]
        engine.submit(audit_of(repository, 2))
        ((_, answer),) = drained(engine, 1)
        assert answer["audited"]["report"]["verdict"]
    finally:
        engine.close()


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "GRACE_S", -119.0)
    engine = LocalPool(config(repository), 1)
    try:
        victim = engine._idle[0]._process.pid
        os.kill(victim, signal.SIGSTOP)
        engine.submit(audit_of(repository, 1))
        ((_, answer),) = drained(engine, 1)
        assert answer["error"] == "its worker did not answer in time and was ended"
        assert ends(victim)
    finally:
        engine.close()


def test_workers_that_cannot_start_say_why(repository: Repository) -> None:
    broken = config(repository)
    broken.source["path"] += "/nowhere"  # type: ignore[index]
    with pytest.raises(SweepError, match="git"):
        LocalPool(broken, 2)


def test_a_configuration_survives_the_wire(repository: Repository) -> None:
    from dataclasses import asdict

    sent = config(repository, as_of="2026-03-19", seconds=3.0)
    assert config_of(json.loads(json.dumps(asdict(sent)))) == sent
    assert sent.options().ignore_suppressions, "a submission's own suppressions count for nothing"
    assert sent.bounds().address_space > 0


def eat() -> None:
    kept = []
    while True:
        kept.append(bytearray(1 << 24))


MISBEHAVIOUR: dict[str, Callable[[], object]] = {"S1": lambda: time.sleep(60), "S2": os.abort, "S3": eat}


def test_one_that_misbehaves_never_stops_the_rest(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.pull(4, under(f"{TRACK}/S4", submission()))
    real = task.audited

    def planted(opened: Opened, path: str, options: Any) -> dict[str, Any]:
        if misbehave := MISBEHAVIOUR.get(Path(path).name):
            misbehave()
        return real(opened, path, options)

    monkeypatch.setattr(task, "audited", planted)
    source = GitSource(repository.path, REFS)
    worker = Worker(config(repository, seconds=1.5, memory=600 << 20), source, tmp_path)
    answers = [worker.answer(audit_of(repository, n))["audited"] for n in (1, 2, 3, 4)]
    source.close()
    assert "longer than 1.5 s" in answers[0]["error"]
    assert "SIGABRT" in answers[1]["error"]
    assert "600 MiB" in answers[2]["error"] or "MemoryError" in answers[2]["error"]
    assert answers[3]["error"] == "" and answers[3]["report"]["verdict"]
    assert not list(tmp_path.glob("submission-*"))


def test_requests_that_cannot_be_met_are_answered(repository: Repository, tmp_path: Path) -> None:
    source = GitSource(repository.path, REFS)
    worker = Worker(config(repository), source, tmp_path)
    request = audit_of(repository, 1)
    assert "no folder" in worker.answer(request | {"path": "records/none"})["error"]
    assert "no folder" in worker.answer(request | {"path": "../../etc"})["error"]
    assert "does not hold" in worker.answer(request | {"head": "0" * 40})["error"]
    assert "planned" in worker.answer(request | {"do": "plan"})
    assert source.plan(Pull(request["ref"], request["head"])).folders
    source.close()
