"""CUDA tensors on a CPU: devices in arguments become the CPU, and moving or pinning memory does nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from auditor.behaviour.shims.context import ShimContext

CPU = torch.device("cpu")


def is_cuda(value: Any) -> bool:
    """Whether ``value`` names a CUDA device."""
    if isinstance(value, torch.device):
        return value.type == "cuda"
    return isinstance(value, str) and value.partition(":")[0] == "cuda"


def _to(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`Tensor.to` with the device replaced; a bare integer is a CUDA ordinal."""
    if len(args) > 1 and (is_cuda(args[1]) or (isinstance(args[1], int) and not isinstance(args[1], bool))):
        args = (args[0], CPU, *args[2:])
    return func(*args, **kwargs)


def _itself(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0]


def _yes(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return True


def _positional(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return func(*(CPU if is_cuda(a) else a for a in args), **kwargs)


def install(ctx: ShimContext) -> None:
    """Register the stand-ins and replace the constructors that take a device."""
    handlers = ctx.handlers
    tensor = torch.Tensor
    handlers[tensor.to] = _to
    handlers[tensor.cuda] = _itself
    handlers[tensor.pin_memory] = _itself
    handlers[tensor.is_pinned] = _yes
    ctx.patch(tensor, "record_stream", lambda self, stream: None)  # its parser refuses our streams before any handler
    for name in ("is_cuda",):
        handlers[getattr(tensor, name).__get__] = _yes
    for func in (torch.nn.Module.to,):
        ctx.patch(torch.nn.Module, "to", _module_to(func))
    ctx.patch(torch.nn.Module, "cuda", lambda self, device=None: self)
    ctx.patch(torch, "set_default_device", lambda device: None)
    ctx.patch(torch, "Generator", _generator(torch.Generator))
    ctx.patch(torch, "get_device_module", lambda device=None: torch.cuda)


def _module_to(original: Callable[..., Any]) -> Callable[..., Any]:
    def to(self: Any, *args: Any, **kwargs: Any) -> Any:
        if is_cuda(kwargs.get("device")) or isinstance(kwargs.get("device"), int):
            kwargs["device"] = CPU
        return original(self, *(CPU if is_cuda(a) or type(a) is int else a for a in args), **kwargs)

    return to


def _generator(original: Any) -> Any:
    class Generator(original):  # type: ignore[misc]
        """A generator of random numbers that always lives on the CPU."""

        def __new__(cls, device: Any = None) -> Any:
            return super().__new__(cls)

    return Generator
