from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from auditor.behaviour.shims import distributed  # noqa: E402
from auditor.behaviour.shims.context import ShimContext  # noqa: E402

SCRIPT = Path(__file__).with_name("collective_script.py")


@pytest.fixture
def installed(ctx: ShimContext) -> None:
    distributed.install(ctx)


@pytest.mark.slow
def test_one_process_sees_what_it_sees_on_gloo(
    tmp_path: Path, installed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, str(SCRIPT), "gloo", f"file://{tmp_path}/store"]
    real = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if real.returncode:
        pytest.fail(real.stderr[-2000:])
    from tests.behaviour.shims.collective_script import main

    main("nccl", "env://")
    here: dict[str, Any] = json.loads(capsys.readouterr().out)
    there: dict[str, Any] = json.loads(real.stdout.splitlines()[-1])
    assert here == there


def test_nccl_s_average_and_coalesced_work(installed: None) -> None:
    dist = torch.distributed

    dist.init_process_group("nccl", device_id=torch.device("cuda", 0))
    x = torch.ones(3)
    work: Any = dist.all_reduce(x, op=dist.ReduceOp.AVG, async_op=True)
    assert work.wait() and x.tolist() == [1.0] * 3 and dist.get_backend() == "nccl"
    stacked = torch.zeros(1, 3)
    dist.all_gather_into_tensor(stacked, x)
    assert stacked.tolist() == [[1.0] * 3]
    work.get_future().wait()


def test_before_init_and_after_destroy_collectives_fail(installed: None) -> None:
    dist = torch.distributed

    with pytest.raises(ValueError, match="not been initialized"):
        dist.all_reduce(torch.ones(1))
    dist.init_process_group("nccl")
    with pytest.raises(ValueError, match="no other process"):
        dist.recv(torch.ones(1), src=1)
    dist.destroy_process_group()
    with pytest.raises(ValueError, match="not been initialized"):
        dist.barrier()


def test_zero_is_the_optimizer_it_wraps(installed: None) -> None:
    from torch.distributed.optim import ZeroRedundancyOptimizer

    weight = torch.nn.Parameter(torch.ones(2))
    optimizer: Any = ZeroRedundancyOptimizer([weight], optimizer_class=torch.optim.SGD, lr=0.5)
    weight.sum().backward()
    optimizer.step()
    optimizer.consolidate_state_dict(0)
    assert weight.tolist() == [0.5, 0.5]


def test_differentiable_collectives_pass_gradients(installed: None) -> None:
    importlib.import_module("torch.distributed.nn")
    dist = torch.distributed

    dist.init_process_group("nccl")
    x = torch.ones(2, requires_grad=True)
    gathered = torch.distributed.nn.all_gather(x)
    (torch.distributed.nn.all_reduce(x).sum() + gathered[0].sum()).backward()
    assert x.grad is not None and x.grad.tolist() == [2.0, 2.0]
