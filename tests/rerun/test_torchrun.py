"""Several processes under torchrun, where they will run: in the sandbox, without a network, and without a GPU here."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.intake import load_submission
from auditor.rerun import series
from auditor.rerun.facts import SeedEnd
from auditor.rerun.plan import make_plan
from auditor.rerun.real import RealRunner
from auditor.rerun.series import Done, Stages
from auditor.rerun.view import Silent
from tests.rerun.planted import FINISHES, ISOLATED, options, plant

TWO = """
import torch, torch.distributed as dist
dist.init_process_group("gloo")
total = torch.ones(1)
dist.all_reduce(total)
rank = dist.get_rank()
if rank == 0:
    print("ranks", int(total))
"""


class WithoutGpus(RealRunner):
    """Two processes on a machine that has no two GPUs."""

    def _try_gpus(self) -> None:
        pass


def launched(place: Path, keep: Path, unsandboxed: bool) -> Done:
    asked = options(keep, unsandboxed=unsandboxed, launcher="torchrun")
    submission = load_submission(place)
    planned = replace(make_plan(submission, asked, keep), processes=2)
    return series.rerun(submission, planned, asked, Silent(), WithoutGpus, Stages())


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
@pytest.mark.parametrize("unsandboxed", [False, True])
def test_two_ranks_find_each_other(tmp_path: Path, unsandboxed: bool) -> None:
    if not unsandboxed and not ISOLATED:
        pytest.skip("nothing isolates here")
    script = TWO + FINISHES.replace("print(", "print0(").replace(
        "import os,", "def print0(*words):\n    if rank == 0:\n        print(*words)\nimport os,")  # fmt: skip
    done = launched(plant(tmp_path, script), tmp_path / "kept", unsandboxed)
    (one,) = done.record.seeds
    log = (tmp_path / "kept/seed42.log").read_text()
    assert one.end is SeedEnd.FINISHED, log
    assert "ranks 2" in log and one.headline is not None


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_one_rank_that_is_killed_is_out_of_memory(tmp_path: Path) -> None:
    script = TWO + "import os\nif rank == 1:\n    os.kill(os.getpid(), 9)\ndist.barrier()\n"
    (one,) = launched(plant(tmp_path, script), tmp_path / "kept", not ISOLATED).record.seeds
    assert one.end is SeedEnd.OUT_OF_MEMORY and "SIGKILL" in one.reason, one
