"""``torch.compile`` and its relatives run the function as written: nothing is traced, nothing is generated."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch._dynamo
import torch._inductor.config

from auditor.behaviour.shims.context import ShimContext


def install(ctx: ShimContext) -> None:
    """Patch ``torch.compile``, ``torch.jit``, ``torch.compiler`` and ``torch._dynamo``; configs swallow any name."""
    ctx.patch(torch, "compile", _compile)
    ctx.patch(torch.nn.Module, "compile", _module_compile)
    ctx.patch(torch.jit, "script", _script)
    ctx.patch(torch.jit, "trace", _trace)
    for owner in (torch.compiler, torch._dynamo):
        _patch_controls(ctx, owner)
    for config in (torch._dynamo.config, torch._inductor.config):
        _open_config(ctx, config)


def _compile(model: Any = None, **options: Any) -> Any:
    if model is None:
        return lambda function: function
    return model


def _module_compile(self: torch.nn.Module, *args: Any, **options: Any) -> None:
    """Module.compile works in place and returns nothing."""


def _script(obj: Any, *args: Any, **kwargs: Any) -> Any:
    return obj


def _trace(func: Any, *args: Any, **kwargs: Any) -> Any:
    return func


def _decorator(function: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Serve both ``@disable`` and ``@disable(recursive=False)``."""
    return function if callable(function) else (lambda inner: inner)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Accept anything, do nothing."""


@contextlib.contextmanager
def _no_stance(*args: Any, **kwargs: Any) -> Iterator[None]:
    yield


def _patch_controls(ctx: ShimContext, owner: Any) -> None:
    decorators = ("disable", "allow_in_graph", "disallow_in_graph", "assume_constant_result", "run", "optimize",
                  "forbid_in_graph", "nonstrict_trace", "substitute_in_graph")  # fmt: skip
    markers = ("reset", "mark_dynamic", "maybe_mark_dynamic", "mark_static", "mark_static_address", "graph_break",
               "cudagraph_mark_step_begin", "mark_unbacked")  # fmt: skip
    for name in decorators:
        if hasattr(owner, name):
            ctx.patch(owner, name, _optimize if name in ("optimize", "substitute_in_graph") else _decorator)
    for name in markers:
        if hasattr(owner, name):
            ctx.patch(owner, name, _nothing)
    if hasattr(owner, "set_stance"):
        ctx.patch(owner, "set_stance", _no_stance)
    if hasattr(owner, "is_compiling"):
        ctx.patch(owner, "is_compiling", lambda: False)


def _optimize(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    return lambda function: function


def _open_config(ctx: ShimContext, config: Any) -> None:
    """Let scripts set and read settings that this version of torch does not know (they changed between releases)."""
    kind: Any = type(config)
    strict_set, strict_get = kind.__setattr__, kind.__getattr__

    def set_any(self: Any, name: str, value: Any) -> None:
        try:
            strict_set(self, name, value)
        except AttributeError:
            self.__dict__[name] = value

    def get_any(self: Any, name: str) -> Any:
        try:
            return strict_get(self, name)
        except AttributeError:
            if name.startswith("__"):
                raise
            return self.__dict__.get(name)

    ctx.patch(kind, "__setattr__", set_any)
    ctx.patch(kind, "__getattr__", get_any)
