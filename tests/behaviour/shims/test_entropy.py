from __future__ import annotations

import glob
import os
import random
import secrets
import socket
import tempfile
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.behaviour.shims import entropy
from auditor.behaviour.shims.context import ShimContext

torch: Any = pytest.importorskip("torch")


def draw() -> list[Any]:
    """Everything that would differ between two runs."""
    random.seed()
    return [
        os.urandom(8), uuid.uuid4(), uuid.uuid1(), secrets.token_hex(4), random.random(), random.Random().random(),
        random.SystemRandom().random(), float(np.random.default_rng().random()), float(np.random.RandomState().rand()),
        torch.seed(), torch.rand(1).item(), os.getpid(), os.getppid(), socket.gethostname(), os.cpu_count(),
        next(tempfile._get_candidate_names()),  # type: ignore[attr-defined]
    ]  # fmt: skip


def test_two_runs_draw_the_same(ctx: ShimContext) -> None:
    entropy.install(ctx)
    first = draw()
    ctx.restore()
    entropy.install(ctx)
    assert draw() == first
    assert len(set(map(str, first))) == len(first)


def test_another_seed_draws_something_else(ctx: ShimContext) -> None:
    entropy.install(ctx)
    first = os.urandom(16)
    assert os.urandom(16) != first
    ctx.restore()
    ctx.seed = 7
    entropy.install(ctx)
    assert os.urandom(16) != first


def test_a_given_seed_means_what_it_always_meant(ctx: ShimContext) -> None:
    expected = [random.Random(3).random(), np.random.default_rng(3).random()]
    entropy.install(ctx)
    assert [random.Random(3).random(), np.random.default_rng(3).random()] == expected
    random.seed(3)
    assert random.random() == expected[0]


def test_global_generators_start_seeded(ctx: ShimContext) -> None:
    entropy.install(ctx)
    first = [random.random(), np.random.rand(), torch.rand(1).item()]
    ctx.restore()
    entropy.install(ctx)
    assert [random.random(), np.random.rand(), torch.rand(1).item()] == first


def test_folders_are_read_in_order(ctx: ShimContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{n:02d}" for n in (5, 1, 9, 3, 7)]
    for name in names:
        (tmp_path / name).touch()
    shuffled = [str(tmp_path / name) for name in names]
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path=".": sorted(real(path), reverse=True))
    entropy.install(ctx)
    assert os.listdir(tmp_path) == sorted(names)
    assert [entry.name for entry in os.scandir(tmp_path)] == sorted(names)
    with os.scandir(tmp_path) as found:
        assert next(found).name == "01"
    assert [os.path.basename(p) for p in glob.glob(str(tmp_path / "*"))] == sorted(names)
    assert sorted(shuffled) == [str(p) for p in tmp_path.iterdir()]
    assert [files for _, _, files in os.walk(tmp_path)] == [sorted(names)]
    ctx.restore()


def test_a_forked_child_has_an_id_of_its_own(ctx: ShimContext) -> None:
    entropy.install(ctx)
    assert os.getpid() == entropy.PID
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(os.getpid()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 32)) == child
    os.close(reader)
    os.close(writer)
