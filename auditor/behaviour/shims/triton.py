"""Triton: its interpreter where it is installed, else a stand-in that survives import and decoration."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import torch.utils._triton

from auditor.behaviour.shims.context import ShimContext
from auditor.behaviour.shims.errors import GuestUnsupported
from auditor.behaviour.shims.modules import make_module, place_module


class Kernel:
    """A decorated kernel: subscripting picks a grid, calling raises `GuestUnsupported` with its name."""

    def __init__(self, function: Any) -> None:
        self.fn = function
        self.__name__ = str(getattr(function, "__name__", function))

    def __getitem__(self, grid: Any) -> Kernel:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise `GuestUnsupported`."""
        raise GuestUnsupported(f"triton kernel {self.__name__}")

    run = warmup = __call__


class Name:
    """Anything of ``triton.language``: usable as an annotation and an attribute; calling it raises."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Name:
        if name.startswith("__"):
            raise AttributeError(name)
        return Name(f"{self._name}.{name}")

    def __getitem__(self, key: Any) -> Name:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise `GuestUnsupported`."""
        raise GuestUnsupported(self._name)


class Config:
    """A configuration of the autotuner, never used."""

    def __init__(self, kwargs: Any = None, num_warps: int = 4, num_stages: int = 2, **rest: Any) -> None:
        self.kwargs, self.num_warps, self.num_stages = kwargs, num_warps, num_stages


def cdiv(x: int, y: int) -> int:
    """``x / y`` rounded up."""
    return -(-x // y)


def next_power_of_2(n: int) -> int:
    """The smallest power of two that is not below ``n`` (``n`` >= 1)."""
    return 1 << (n - 1).bit_length()


def install(ctx: ShimContext) -> None:
    """Switch a real triton to its interpreter, or place the stand-in."""
    ctx.patch(torch.utils._triton, "has_triton", lambda: False)
    old = os.environ.get("TRITON_INTERPRET")
    os.environ["TRITON_INTERPRET"] = "1"
    ctx.on_restore(lambda: _restore_environment(old))
    if importlib.util.find_spec("triton") is not None:
        return
    ctx.patch(torch.utils._triton, "has_triton_package", lambda: False)
    _place(ctx)


def _restore_environment(old: str | None) -> None:
    if old is None:
        os.environ.pop("TRITON_INTERPRET", None)
    else:
        os.environ["TRITON_INTERPRET"] = old


def _decorate(function: Any = None, **options: Any) -> Any:
    return Kernel(function) if function is not None else Kernel


def _wrap(*args: Any, **options: Any) -> Any:
    """``@autotune(...)`` and ``@heuristics(...)``, above or below ``@jit``."""
    return lambda kernel: kernel if isinstance(kernel, Kernel) else Kernel(kernel)


def _place(ctx: ShimContext) -> None:
    contents = {
        "__version__": "3.6.0", "jit": _decorate, "autotune": _wrap, "heuristics": _wrap, "Config": Config,
        "cdiv": cdiv, "next_power_of_2": next_power_of_2, "set_allocator": lambda *args: None,
    }  # fmt: skip
    place_module(ctx, make_module("triton", contents))
    for name in ("triton.language", "triton.language.extra", "triton.language.extra.cuda", "triton.language.math",
                 "triton.language.extra.libdevice", "triton.language.extra.cuda.libdevice", "triton.runtime",
                 "triton.testing", "triton.tools", "triton.tools.tensor_descriptor", "triton.compiler"):  # fmt: skip
        module = make_module(name, {"cdiv": cdiv, "constexpr": _Constexpr} if name == "triton.language" else {})
        module.__dict__["__getattr__"] = _name_maker(name)
        place_module(ctx, module)


class _Constexpr:
    """``tl.constexpr`` as an annotation or around a module's constant."""

    def __init__(self, value: Any = None) -> None:
        self.value = value


def _name_maker(module: str) -> Any:
    def name_of(name: str) -> Name:
        if name.startswith("__"):
            raise AttributeError(name)
        return Name(f"{module}.{name}")

    return name_of
