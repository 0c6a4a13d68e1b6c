"""One process or several: rank and device from torchrun's environment, gradients averaged by DDP.

The competition's batch is cut into eight micro-steps, which the processes share: eight by one, one by each of eight.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


class WorldError(ValueError):
    """Processes or devices that do not fit; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Process:
    """This process among ``world_size``."""

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this one writes the log and the files."""
        return self.rank == 0

    def accumulation(self, micro_steps: int) -> int:
        """How many of a batch's ``micro_steps`` are this process's. Raises `WorldError`."""
        if micro_steps <= 0 or micro_steps % self.world_size:
            raise WorldError(f"{micro_steps} micro-steps of a batch cannot be shared by {self.world_size} processes")
        return micro_steps // self.world_size

    def mean(self, value: Tensor) -> Tensor:
        """``value`` averaged over all processes."""
        if self.world_size > 1:
            value = value.clone()
            dist.all_reduce(value)
            value /= self.world_size
        return value

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is set in any process, so that all stop at the same step."""
        if self.world_size == 1:
            return flag
        shared = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return bool(shared.item())

    def barrier(self) -> None:
        """Wait for the others."""
        if self.world_size > 1:
            dist.barrier()


@contextmanager
def started(device: str | None = None) -> Iterator[Process]:
    """This process with its device, and the process group where torchrun started several.

    ``device``: ``cpu``, ``cuda``, or None for CUDA where there is any. Raises `WorldError`.
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cuda" and not torch.cuda.is_available():
        raise WorldError("there is no CUDA device here")
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if kind == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
        torch.set_float32_matmul_precision("high")
    else:
        place = torch.device(kind)
    process = Process(place, rank, world)
    if world > 1:
        dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield process
        process.barrier()  # the group is taken down once nobody still talks in it
    finally:
        if world > 1:
            gc.collect()  # what DistributedDataParallel leaves in circles aborts the process when it outlives the group
            dist.destroy_process_group()


class MeanLoss(nn.Module):
    """A model as a function of inputs and targets to the mean loss in nats: what DDP and torch.compile wrap."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """int64 [b, s] twice to a scalar."""
        losses: Tensor = self.model.losses(tokens, targets)  # type: ignore[operator]
        return losses.mean()


def wrapped(model: nn.Module, process: Process, *, compiled: bool) -> nn.Module:
    """``model`` as `MeanLoss`, compiled where asked for, its gradients averaged over the processes."""
    loss: nn.Module = MeanLoss(model)
    if compiled:
        loss.compile(dynamic=False)
    if process.world_size == 1:
        return loss
    ids = [process.device.index] if process.device.type == "cuda" else None
    return DistributedDataParallel(loss, device_ids=ids, broadcast_buffers=False, gradient_as_bucket_view=True)


def unsynchronised(module: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Gradients are only averaged in the ``last`` micro-step of a step."""
    if last or not isinstance(module, DistributedDataParallel):
        return nullcontext()
    return module.no_sync()


def lower_embeddings(model: nn.Module, device: torch.device) -> None:
    """On CUDA embeddings are kept in bfloat16, as in the competition, so that the stream of activations is bfloat16."""
    if device.type == "cuda":
        for module in model.modules():
            if isinstance(module, nn.Embedding):
                module.bfloat16()
