from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from auditor.behaviour import shims  # noqa: E402
from auditor.behaviour.shims.context import ShimContext  # noqa: E402


def test_a_second_call_does_nothing(ctx: ShimContext) -> None:
    shims.install_all(ctx)
    count = len(ctx._undo)
    shims.install_all(ctx)
    assert len(ctx._undo) == count and torch.cuda.is_available()


def test_a_second_context_is_refused_until_the_first_is_restored(ctx: ShimContext) -> None:
    shims.install_all(ctx)
    other = ShimContext()
    with pytest.raises(RuntimeError, match="restore"):
        shims.install_all(other)
    ctx.restore()
    shims.install_all(other)
    other.restore()


def test_restore_leaves_no_trace(ctx: ShimContext) -> None:
    import builtins
    import os
    import random
    import socket
    import time

    owners = (torch, torch.cuda, torch.distributed, torch.backends.cuda, torch._dynamo, torch.amp, os, time, random,
              socket, builtins, subprocess, torch.nn.parallel, torch.nn.attention)  # fmt: skip
    modules = set(sys.modules)
    before = [dict(vars(owner)) for owner in owners]
    environment = dict(os.environ)
    shims.install_all(ctx)
    assert any(dict(vars(owner)) != old for owner, old in zip(owners, before, strict=True))
    ctx.restore()
    for owner, old in zip(owners, before, strict=True):
        changed = {name for name in old if vars(owner).get(name) is not old[name]}
        assert not changed, f"{owner.__name__}: {sorted(changed)}"
    assert dict(os.environ) == environment
    stays = {name for name in set(sys.modules) - modules if name.startswith(("flash", "triton", "hopper", "wandb"))}
    assert not stays


def test_the_package_itself_needs_no_torch() -> None:
    code = "import sys, auditor.behaviour.shims, auditor.behaviour.shims.context; sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


SCRIPT = """
import glob, io, os, random, subprocess, time, uuid, zlib
import numpy as np, torch, torch.distributed as dist
import torch.nn.functional as F
from flash_attn_interface import flash_attn_func
from torch.nn.parallel import DistributedDataParallel as DDP

random.seed(1); np.random.seed(1); torch.manual_seed(1); torch.cuda.manual_seed_all(1)
device = torch.device("cuda", 0)
torch.cuda.set_device(device)
dist.init_process_group(backend="nccl", device_id=device)
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.qkv = torch.nn.Embedding(32, 16), torch.nn.Linear(16, 48)
    def forward(self, x, y):
        h = self.wte(x)
        q, k, v = self.qkv(h).view(*x.shape, 3, 2, 8).unbind(2)
        h = h + flash_attn_func(q, k, v, causal=True).reshape(h.shape)
        return F.cross_entropy((h @ self.wte.weight.T).float().flatten(0, 1), y.flatten())
model = DDP(torch.compile(Net(), dynamic=False, fullgraph=True), device_ids=[0], broadcast_buffers=False)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=False)
began = time.perf_counter()
data = torch.randint(0, 32, (4, 17))
for step in range(3):
    with torch.autocast(device_type="cuda", dtype=torch.bfloat16, enabled=True):
        loss = model(data[:, :-1], data[:, 1:])
    loss.backward(); optimizer.step(); optimizer.zero_grad(set_to_none=True)
torch.cuda.synchronize()
model.eval()
with torch.inference_mode(), torch.autocast(device_type="cuda", dtype=torch.bfloat16):
    score = model(data[:, :-1], data[:, 1:])
dist.all_reduce(score, op=dist.ReduceOp.AVG)
buffer = io.BytesIO(); torch.save(model.module.state_dict(), buffer)
open("final.ptz", "wb").write(zlib.compress(buffer.getvalue()))
smi = subprocess.run(["nvidia-smi"], stdout=subprocess.PIPE, text=True).stdout
RESULT = (score.item(), uuid.uuid4().hex, time.perf_counter() - began, os.path.getsize("final.ptz"), len(smi))
dist.destroy_process_group()
"""


def test_a_whole_script_runs_and_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = []
    for _ in range(2):
        context = ShimContext(run_dir=str(tmp_path))
        names: dict[str, object] = {}
        try:
            shims.install_all(context)
            exec(compile(SCRIPT, "script.py", "exec"), names)
        finally:
            context.restore()
        results.append(names["RESULT"])
    assert results[0] == results[1]
