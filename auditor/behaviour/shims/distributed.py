"""``torch.distributed`` at world size 1, without a process group: every collective leaves this rank its own data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.distributed_c10d as c10d

from auditor.behaviour.shims.context import ShimContext
from auditor.behaviour.shims.modules import make_module, place_module

_NO_GROUP = "Default process group has not been initialized, please make sure to call init_process_group."


class Work:
    """The handle of an asynchronous collective, already complete."""

    def __init__(self, result: Any = None) -> None:
        self._result = result

    def wait(self, timeout: Any = None) -> bool:
        """Done."""
        return True

    def is_completed(self) -> bool:
        """Done."""
        return True

    def is_success(self) -> bool:
        """Done."""
        return True

    def get_future(self) -> Any:
        """A completed future holding the result as a list of tensors."""
        future: Any = torch.futures.Future()
        future.set_result([] if self._result is None else [self._result])
        return future

    def synchronize(self) -> None:
        """Done."""


class Group:
    """A process group of one."""

    def __init__(self, name: str = "default_pg") -> None:
        self.group_name, self.group_desc, self.bound_device_id = name, name, None

    def rank(self) -> int:
        """This process's rank."""
        return 0

    def size(self) -> int:
        """How many processes there are."""
        return 1

    def name(self) -> str:
        """The backend's name."""
        return "nccl"


class World:
    """The state that the patched functions share: whether a group exists."""

    def __init__(self) -> None:
        self.group: Group | None = None
        self.backend = "nccl"

    def need(self) -> Group:
        """The group; raises ValueError, as torch does, before ``init_process_group``."""
        if self.group is None:
            raise ValueError(_NO_GROUP)
        return self.group

    def init(self, backend: str | None = None, *args: Any, **kwargs: Any) -> None:
        """``init_process_group``: no rendezvous, no network."""
        if self.group is not None:
            raise ValueError("trying to initialize the default process group twice!")
        self.group, self.backend = Group(), str(backend or "nccl")

    def destroy(self, group: Any = None) -> None:
        """``destroy_process_group``."""
        self.need()
        if group is None or group is self.group:
            self.group = None

    def done(self, result: Any, async_op: bool) -> Work | None:
        """What a collective returns."""
        self.need()
        return Work(result) if async_op else None


def _collectives(world: World) -> dict[str, Callable[..., Any]]:
    """In-place collectives: the only contribution is this rank's."""

    def own(tensor: Any, *args: Any, async_op: bool = False, **kwargs: Any) -> Any:
        return world.done(tensor, async_op)

    def objects(*args: Any, **kwargs: Any) -> None:
        world.need()

    def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None, **kwargs: Any) -> Any:
        return world.done(None, async_op)

    def copy_one(output: Any, tensor: Any, *args: Any, async_op: bool = False, **kwargs: Any) -> Any:
        world.need()
        with torch.no_grad():
            output.copy_(tensor.reshape(output.shape))
        return world.done(output, async_op)

    def into_list(tensor_list: Any, tensor: Any, *args: Any, async_op: bool = False, **kwargs: Any) -> Any:
        return copy_one(tensor_list[0], tensor, async_op=async_op)

    def from_list(output: Any, input_list: Any = None, *args: Any, async_op: bool = False, **kwargs: Any) -> Any:
        return copy_one(output, input_list[0], async_op=async_op)

    def gather(tensor: Any, gather_list: Any = None, *args: Any, async_op: bool = False, **kwargs: Any) -> Any:
        return copy_one(gather_list[0], tensor, async_op=async_op)

    def lists(outputs: Any, inputs: Any, *args: Any, async_op: bool = False, **kwargs: Any) -> Any:
        return copy_one(outputs[0], inputs[0], async_op=async_op)

    return {
        "all_reduce": own, "broadcast": own, "reduce": own, "all_reduce_coalesced": own, "barrier": barrier,
        "monitored_barrier": objects, "broadcast_object_list": objects, "all_gather": into_list,
        "all_gather_into_tensor": copy_one, "_all_gather_base": copy_one, "reduce_scatter_tensor": copy_one,
        "_reduce_scatter_base": copy_one, "reduce_scatter": from_list, "scatter": from_list, "gather": gather,
        "all_gather_single": copy_one, "reduce_scatter_single": copy_one, "all_to_all_single": copy_one,
        "all_to_all": lists,
    }  # fmt: skip


def _object_collectives(world: World) -> dict[str, Callable[..., Any]]:
    def all_gather_object(object_list: Any, obj: Any, group: Any = None) -> None:
        world.need()
        object_list[0] = obj

    def gather_object(obj: Any, object_gather_list: Any = None, dst: int = 0, group: Any = None, **kwargs: Any) -> None:
        world.need()
        if object_gather_list is not None:
            object_gather_list[0] = obj

    def scatter_object_list(output: Any, inputs: Any = None, src: int = 0, group: Any = None, **kwargs: Any) -> None:
        world.need()
        output[0] = inputs[0]

    def peer(*args: Any, **kwargs: Any) -> Any:
        world.need()
        raise ValueError("Invalid rank: there is no other process at world size 1")

    point_to_point = dict.fromkeys(("send", "recv", "isend", "irecv", "send_object_list", "recv_object_list"), peer)
    return {"all_gather_object": all_gather_object, "gather_object": gather_object,
            "scatter_object_list": scatter_object_list, **point_to_point}  # fmt: skip


def _questions(world: World) -> dict[str, Callable[..., Any]]:
    def rank(group: Any = None) -> int:
        world.need()
        return 0

    def size(group: Any = None) -> int:
        world.need()
        return 1

    def backend(group: Any = None) -> str:
        world.need()
        return world.backend

    def new_group(*args: Any, **kwargs: Any) -> Group:
        world.need()
        return Group("group")

    return {
        "init_process_group": world.init, "destroy_process_group": world.destroy, "is_available": lambda: True,
        "is_initialized": lambda: world.group is not None, "is_nccl_available": lambda: True, "get_rank": rank,
        "get_world_size": size, "get_backend": backend, "new_group": new_group, "_get_default_group": world.need,
        "is_torchelastic_launched": lambda: False, "get_process_group_ranks": lambda group=None: [0],
        "get_global_rank": lambda group, group_rank: 0, "get_group_rank": lambda group, global_rank: 0,
        "get_node_local_rank": lambda fallback_rank=None: 0,
    }  # fmt: skip


class DistributedDataParallel(torch.nn.Module):
    """DDP over one process: the module itself, under the attribute ``module``."""

    def __init__(self, module: torch.nn.Module, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        dist.get_world_size()
        self.module = module
        self.require_backward_grad_sync = True
        self.device_ids = kwargs.get("device_ids")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's own."""
        return self.module(*args, **kwargs)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Nothing is synchronised anyway."""
        old, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = old

    @contextlib.contextmanager
    def join(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """Uneven inputs do not arise with one process."""
        yield

    def register_comm_hook(self, state: Any, hook: Any) -> None:
        """Nothing is communicated."""


class ZeroRedundancyOptimizer:
    """With one process, the optimiser that it shards."""

    def __new__(cls, params: Any, optimizer_class: Any, **defaults: Any) -> Any:
        """Build ``optimizer_class`` over ``params``."""
        for name in ("process_group", "parameters_as_bucket_view", "overlap_with_ddp"):
            defaults.pop(name, None)
        optimizer = optimizer_class(params, **defaults)
        optimizer.consolidate_state_dict = lambda to=0: None
        return optimizer


def install(ctx: ShimContext) -> None:
    """Patch ``torch.distributed``, its ``nn`` functions, DDP and ZeRO."""
    world = World()
    functions = _questions(world) | _collectives(world) | _object_collectives(world)
    for name, function in functions.items():
        for owner in (dist, c10d):
            if hasattr(owner, name):
                ctx.patch(owner, name, function)
    ctx.patch(torch.nn.parallel, "DistributedDataParallel", DistributedDataParallel)
    ctx.patch(torch.nn.parallel.distributed, "DistributedDataParallel", DistributedDataParallel)
    place_module(ctx, make_module("torch.distributed.optim", {"ZeroRedundancyOptimizer": ZeroRedundancyOptimizer}))
    import torch.distributed.nn.functional as differentiable

    for name in ("all_reduce", "broadcast"):
        for owner in (differentiable, torch.distributed.nn):
            ctx.patch(owner, name, lambda tensor, *args, **kwargs: tensor.clone())
    for owner in (differentiable, torch.distributed.nn):
        ctx.patch(owner, "all_gather", lambda tensor, *args, **kwargs: (tensor.clone(),))
