"""A script run twice, by `test_distributed`: on the real gloo backend with one process, and under the shim."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
import torch.distributed
import torch.nn.parallel

dist: Any = torch.distributed


def collectives() -> dict[str, Any]:
    """What each collective leaves behind, as lists."""
    x = torch.arange(4.0)
    out: dict[str, Any] = {"rank": dist.get_rank(), "size": dist.get_world_size(), "begun": dist.is_initialized()}
    for op in ("SUM", "MAX", "MIN", "PRODUCT"):
        y = x.clone()
        out[op] = [dist.all_reduce(y, op=getattr(dist.ReduceOp, op)), y.tolist()]
    y = x.clone()
    work = dist.all_reduce(y, async_op=True)
    out["async"] = [type(work.wait()).__name__, work.is_completed(), y.tolist()]
    dist.broadcast(y, src=0)
    dist.reduce(y, dst=0)
    parts = [torch.zeros(4)]
    dist.all_gather(parts, y)
    gathered = [torch.zeros(4)]
    dist.gather(y, gathered, dst=0)
    scattered = torch.zeros(4)
    dist.scatter(scattered, [y * 3], src=0)
    into = torch.zeros(4)
    dist.all_gather_into_tensor(into, y * 2)
    reduced = torch.zeros(4)
    dist.reduce_scatter_tensor(reduced, y * 5)
    listed = torch.zeros(4)
    dist.reduce_scatter(listed, [y * 6])
    tensors = {"broadcast": y, "parts": parts[0], "gathered": gathered[0], "scattered": scattered, "into": into}
    tensors |= {"reduced": reduced, "listed": listed}
    return out | {name: tensor.tolist() for name, tensor in tensors.items()}


def objects() -> dict[str, Any]:
    """Collectives of Python objects, groups and the differentiable ones."""
    held: list[Any] = [None]
    dist.all_gather_object(held, {"a": 1})
    sent: list[Any] = ["x"]
    dist.broadcast_object_list(sent, src=0)
    collected: list[Any] = [None]
    dist.gather_object(3, collected, dst=0)
    group = dist.new_group([0])
    dist.barrier()
    y = torch.ones(2)
    dist.all_reduce(y, group=group)
    return {"held": held, "sent": sent, "collected": collected, "group": y.tolist()}


def training() -> dict[str, Any]:
    """One step through DDP, with an accumulation under ``no_sync``."""
    torch.manual_seed(0)
    wrap: Any = torch.nn.parallel.DistributedDataParallel
    model = wrap(torch.nn.Linear(3, 2), broadcast_buffers=False)
    x = torch.arange(6.0).view(2, 3)
    with model.no_sync():
        inside = model.require_backward_grad_sync
        model(x).sum().backward()
    model(x).sum().backward()
    gradients = {name: p.grad.tolist() for name, p in model.named_parameters() if p.grad is not None}
    return {"inside": inside, "after": model.require_backward_grad_sync, "gradients": gradients,
            "keys": list(model.state_dict()), "module": type(model.module).__name__}  # fmt: skip


def refused() -> list[str]:
    """Which exceptions misuse raises."""
    found = []
    calls: list[Any] = [lambda: dist.send(torch.ones(1), dst=0), lambda: dist.init_process_group("gloo")]
    for call in calls:
        try:
            call()
        except (ValueError, RuntimeError) as error:
            found.append(type(error).__name__)
    return found


def main(backend: str, address: str) -> None:
    """Run everything and print it as JSON."""
    before: Any
    try:
        before = dist.get_world_size()
    except ValueError:
        before = "ValueError"
    dist.init_process_group(backend, init_method=address, rank=0, world_size=1)
    result = {"before": before, **collectives(), **objects(), **training(), "refused": refused()}
    dist.destroy_process_group()
    print(json.dumps({**result, "destroyed": dist.is_initialized()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
