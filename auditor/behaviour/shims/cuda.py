"""``torch.cuda`` as seen on a machine with one H100, answered without a device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.backends.cuda
import torch.cuda

from auditor.behaviour.shims.context import ShimContext
from auditor.behaviour.shims.errors import GuestUnsupported

NAME = "NVIDIA H100 80GB HBM3"
TOTAL_MEMORY = 85_045_870_592
"""Bytes that an H100 SXM reports."""
USED_MEMORY = 1 << 30
"""Bytes said to be in use, at every moment and in every run."""


@dataclass(frozen=True)
class DeviceProperties:
    """What ``torch.cuda.get_device_properties`` returns; sizes in bytes."""

    name: str = NAME
    major: int = 9
    minor: int = 0
    total_memory: int = TOTAL_MEMORY
    multi_processor_count: int = 132
    warp_size: int = 32
    regs_per_multiprocessor: int = 65536
    max_threads_per_multi_processor: int = 2048
    max_threads_per_block: int = 1024
    shared_memory_per_block: int = 49152
    shared_memory_per_block_optin: int = 232448
    shared_memory_per_multiprocessor: int = 233472
    L2_cache_size: int = 52428800
    is_integrated: int = 0
    is_multi_gpu_board: int = 0
    gcnArchName: str = NAME
    uuid: str = "00000000-0000-0000-0000-000000000000"


class Stream:
    """A stream that is always up to date; also the context manager that makes it current."""

    def __init__(self, device: Any = None, priority: int = 0, **kwargs: Any) -> None:
        self.device, self.priority, self.cuda_stream = torch.device("cpu"), priority, 0
        self.stream_id, self.device_index, self.device_type = 0, 0, 1

    def wait_stream(self, stream: Any) -> None:
        """Nothing to wait for."""

    def wait_event(self, event: Any) -> None:
        """Nothing to wait for."""

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def query(self) -> bool:
        """All work is done."""
        return True

    def record_event(self, event: Any = None) -> Any:
        """Record ``event`` (a new one without an argument) and return it."""
        made: Any = torch.cuda.Event
        event = made() if event is None else event
        event.record(self)
        return event

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: Any) -> None:
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream)

    def __hash__(self) -> int:
        return 0


class Graph:
    """A CUDA graph: what is captured runs once, as written; it cannot be played again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.pool_id = (0, 0)

    def capture_begin(self, *args: Any, **kwargs: Any) -> None:
        """The captured code simply runs."""

    def capture_end(self) -> None:
        """The captured code has run."""

    def replay(self) -> None:
        """Not possible: raises `GuestUnsupported`."""
        raise GuestUnsupported("torch.cuda.CUDAGraph.replay")

    def reset(self) -> None:
        """Forget nothing."""

    def pool(self) -> tuple[int, int]:
        """A pool's handle."""
        return self.pool_id


class Device:
    """``torch.cuda.device(...)``, ``torch.cuda.device_of(...)``: there is one device."""

    def __init__(self, device: Any = None) -> None:
        self.idx = self.prev_idx = 0

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: Any) -> None:
        return None


class GradScaler(torch.amp.GradScaler):
    """Loss scaling as on CUDA, with its state on the CPU."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and not isinstance(args[0], str):
            args = ("cpu", *args)
        kwargs["device"] = "cpu" if not args else kwargs.pop("device", None)
        if args:
            args, kwargs = ("cpu", *args[1:]), {k: v for k, v in kwargs.items() if k != "device"}
        super().__init__(*args, **kwargs)


def install(ctx: ShimContext) -> None:
    """Patch ``torch.cuda`` and ``torch.backends``."""
    constants = _constants()
    for name, value in constants.items():
        ctx.patch(torch.cuda, name, _constant(value))
    for name in _NOTHING:
        ctx.patch(torch.cuda, name, _constant(None))
    kinds = {"Stream": Stream, "ExternalStream": Stream, "Event": _event_class(ctx), "CUDAGraph": Graph,
             "device": Device, "device_of": Device, "StreamContext": _stream_scope, "stream": _stream_scope,
             "graph": _graph_scope, "make_graphed_callables": lambda callables, *a, **k: callables}  # fmt: skip
    for name, kind in kinds.items():
        ctx.patch(torch.cuda, name, kind)
    _patch_generator(ctx)
    _patch_scaler(ctx)
    _patch_nvtx(ctx)
    _patch_backends(ctx)


_NOTHING = (
    "synchronize", "set_device", "empty_cache", "reset_peak_memory_stats", "reset_max_memory_allocated",
    "reset_max_memory_cached", "reset_accumulated_memory_stats", "set_per_process_memory_fraction", "init",
    "_lazy_init", "ipc_collect", "set_stream", "_sleep", "set_sync_debug_mode", "cudart", "_lazy_call",
)  # fmt: skip


def _constants() -> dict[str, Any]:
    used = {name: USED_MEMORY for name in ("memory_allocated", "max_memory_allocated", "memory_reserved",
            "max_memory_reserved", "memory_cached", "max_memory_cached")}  # fmt: skip
    stream = Stream()
    return used | {
        "is_available": True, "is_initialized": True, "device_count": 1, "current_device": 0,
        "get_device_properties": DeviceProperties(), "get_device_name": NAME, "get_device_capability": (9, 0),
        "mem_get_info": (TOTAL_MEMORY - USED_MEMORY, TOTAL_MEMORY), "is_bf16_supported": True,
        "is_tf32_supported": True, "current_stream": stream, "default_stream": stream,
        "memory_stats": {"allocated_bytes.all.current": USED_MEMORY, "allocated_bytes.all.peak": USED_MEMORY,
                         "reserved_bytes.all.current": USED_MEMORY, "reserved_bytes.all.peak": USED_MEMORY,
                         "num_alloc_retries": 0, "num_ooms": 0},
        "memory_summary": "", "is_current_stream_capturing": False, "can_device_access_peer": True, "utilization": 99,
        "temperature": 50, "power_draw": 600_000, "clock_rate": 1980, "get_arch_list": ["sm_90"],
        "get_sync_debug_mode": 0, "graph_pool_handle": (0, 0), "_is_in_bad_fork": False, "memory_snapshot": [],
    }  # fmt: skip


def _constant(value: Any) -> Any:
    return lambda *args, **kwargs: value


def _event_class(ctx: ShimContext) -> type:
    class Event:
        """A CUDA event; its times are the virtual clock's, in milliseconds."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.at: float | None = None

        def record(self, stream: Any = None) -> None:
            """Note the time."""
            self.at = ctx.clock.read()

        def elapsed_time(self, end: Any) -> float:
            """Milliseconds from this event to ``end``."""
            if self.at is None or end.at is None:
                raise RuntimeError("Both events must be recorded before calculating elapsed time.")
            return float((end.at - self.at) * 1000.0)

        def query(self) -> bool:
            """All work is done."""
            return True

        def synchronize(self) -> None:
            """Nothing to wait for."""

        def wait(self, stream: Any = None) -> None:
            """Nothing to wait for."""

    return Event


@contextlib.contextmanager
def _stream_scope(stream: Any) -> Iterator[Any]:
    yield stream


@contextlib.contextmanager
def _graph_scope(cuda_graph: Any, *args: Any, **kwargs: Any) -> Iterator[None]:
    yield


def _patch_generator(ctx: ShimContext) -> None:
    """CUDA's random state is the CPU's: one generator serves both."""
    for name in ("manual_seed", "manual_seed_all"):
        ctx.patch(torch.cuda, name, _constant(None))
        ctx.patch(torch.cuda.random, name, _constant(None))
    simple: dict[str, Any] = {
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda new_state, device=None: torch.set_rng_state(new_state),
        "get_rng_state_all": lambda: [torch.get_rng_state()],
        "set_rng_state_all": lambda new_states: torch.set_rng_state(next(iter(new_states))),
        "initial_seed": torch.initial_seed,
        "seed": _constant(None),
        "seed_all": _constant(None),
    }
    for name, value in simple.items():
        ctx.patch(torch.cuda, name, value)
        ctx.patch(torch.cuda.random, name, value)


def _patch_scaler(ctx: ShimContext) -> None:
    for owner in (torch.amp, torch.amp.grad_scaler, torch.cuda.amp, torch.cuda.amp.grad_scaler):
        ctx.patch(owner, "GradScaler", GradScaler)


def _patch_nvtx(ctx: ShimContext) -> None:
    for name in ("range_push", "range_pop", "mark", "range_start", "range_end"):
        ctx.patch(torch.cuda.nvtx, name, _constant(0))
    ctx.patch(torch.cuda.nvtx, "range", lambda *args, **kwargs: contextlib.nullcontext())


_SDP = ("flash", "math", "mem_efficient", "cudnn")


def _patch_backends(ctx: ShimContext) -> None:
    """Which attention kernel CUDA may use says nothing about the CPU: the switches are remembered, not obeyed."""
    enabled = dict.fromkeys(_SDP, True)

    def setter(kind: str) -> Any:
        return lambda on: enabled.__setitem__(kind, bool(on))

    def getter(kind: str) -> Any:
        return lambda: enabled[kind]

    for kind in _SDP:
        ctx.patch(torch.backends.cuda, f"enable_{kind}_sdp", setter(kind))
        ctx.patch(torch.backends.cuda, f"{kind}_sdp_enabled", getter(kind))
    for name in ("allow_fp16_bf16_reduction_math_sdp", "preferred_linalg_library", "preferred_blas_library"):
        if hasattr(torch.backends.cuda, name):
            ctx.patch(torch.backends.cuda, name, _constant(None))
    ctx.patch(torch.backends.cuda, "sdp_kernel", lambda *args, **kwargs: contextlib.nullcontext())
    ctx.patch(torch.backends.cuda, "is_flash_attention_available", _constant(True))
    ctx.patch(torch.backends.cudnn, "is_available", _constant(True))
    ctx.patch(torch.backends.cudnn, "version", _constant(90100))
    ctx.patch(torch.version, "cuda", "12.8")
    import torch.nn.attention as attention

    ctx.patch(attention, "sdpa_kernel", lambda *args, **kwargs: contextlib.nullcontext())
