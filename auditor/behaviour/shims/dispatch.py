"""Python code that torch calls back stays under the guest's mode.

A `TorchFunctionMode` is off while it handles a call. Where that call runs Python of the script (the ``backward`` of an
autograd function, a recomputed checkpoint, the body of a custom operator), its calls would reach torch unseen and ask
for CUDA. The modes are therefore switched on again for derivatives, and operators are left as plain functions.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable
from typing import Any

import torch
import torch.autograd.graph
import torch.library
import torch.overrides
from torch.overrides import TorchFunctionMode

from auditor.behaviour.shims.context import ShimContext

_modes: Any = torch.overrides._get_current_function_mode_stack


def _suspended() -> list[Any]:
    """The modes that are handling a call on this thread, and are off meanwhile; outermost first."""
    on: list[Any] = _modes()
    found: list[Any] = []
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        mode = frame.f_locals.get("self") if frame.f_code.co_name == "__torch_function__" else None
        if isinstance(mode, TorchFunctionMode) and not any(mode is other for other in (*on, *found)):
            found.append(mode)
        frame = frame.f_back
    return found[::-1]


def _patch_engine(ctx: ShimContext) -> None:
    real = torch.autograd.graph._engine_run_backward

    def run_backward(*args: Any, **kwargs: Any) -> Any:
        with contextlib.ExitStack() as stack:
            for mode in _suspended():
                stack.enter_context(mode)
            return real(*args, **kwargs)

    ctx.patch(torch.autograd.graph, "_engine_run_backward", run_backward)
    ctx.patch(torch.autograd, "_engine_run_backward", run_backward)


class CustomOp:
    """``torch.library.custom_op``: the function itself, with the derivative that was registered for it."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._qualname, self._function = name, function
        self.__name__ = name.rpartition("::")[2]
        self.default = self
        self._differentiable: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it, through autograd where a derivative is registered."""
        if self._differentiable is None or not torch.is_grad_enabled():
            return self._function(*args, **kwargs)
        return self._differentiable.apply(*args, **kwargs)

    def register_autograd(self, backward: Callable[..., Any], /, *, setup_context: Any = None, **options: Any) -> None:
        """Keep the derivative: ``setup_context(ctx, inputs, output)``, then ``backward(ctx, *gradients)``."""

        def forward(context: Any, *args: Any) -> Any:
            output = self._function(*args)
            if setup_context is not None:
                setup_context(context, args, output)
            return output

        def derivative(context: Any, *gradients: Any) -> Any:
            return backward(context, *gradients)

        body = {"forward": staticmethod(forward), "backward": staticmethod(derivative)}
        self._differentiable = types.new_class(
            self.__name__, (torch.autograd.Function,), exec_body=lambda space: space.update(body)
        )

    def register_fake(self, function: Any = None, /, **options: Any) -> Any:
        """Shapes are not asked for: nothing is traced."""
        return function if function is not None else (lambda inner: inner)

    register_vmap = register_torch_dispatch = register_fake

    def register_kernel(self, device_types: Any, function: Any = None, /) -> Any:
        """A kernel for CUDA is the one that runs; one for another device is ignored."""

        def keep(kernel: Callable[..., Any]) -> Callable[..., Any]:
            names = (device_types,) if isinstance(device_types, str) else tuple(device_types or ("cuda",))
            if "cuda" in names:
                self._function = kernel
            return kernel

        return keep if function is None else keep(function)


def install(ctx: ShimContext) -> None:
    """Patch the engine of autograd and ``torch.library.custom_op`` with its register functions."""
    made: dict[str, CustomOp] = {}
    _patch_engine(ctx)

    def custom_op(name: str, fn: Any = None, /, **options: Any) -> Any:
        def decorate(function: Callable[..., Any]) -> CustomOp:
            op = made[name] = CustomOp(name, function)
            space, _, short = name.partition("::")
            ctx.patch(getattr(torch.ops, space), short, op)
            return op

        return decorate if fn is None else decorate(fn)

    ctx.patch(torch.library, "custom_op", custom_op)
    for name in ("register_autograd", "register_fake", "register_kernel", "register_vmap"):
        _redirect(ctx, made, name)


def _redirect(ctx: ShimContext, made: dict[str, CustomOp], name: str) -> None:
    """``torch.library.register_...(op, ...)`` for operators made here; others go to torch."""
    real = getattr(torch.library, name)

    def register(op: Any, /, *args: Any, **kwargs: Any) -> Any:
        known = op if isinstance(op, CustomOp) else made.get(op) if isinstance(op, str) else None
        return real(op, *args, **kwargs) if known is None else getattr(known, name)(*args, **kwargs)

    ctx.patch(torch.library, name, register)
