"""The full-size model, built without its memory: the script runs with its claimed settings until the model stands.

While a module of the submission is being constructed, every new tensor goes to torch's meta device, which has shapes
and no storage. The run stops at the first optimizer or the first forward pass; anything later does not count.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._device import _device_constructors

from auditor.behaviour.guest.channel import Sender
from auditor.behaviour.guest.mode import GuestMode
from auditor.behaviour.guest.runner import execute, failure, seed_all
from auditor.behaviour.shims import install_all
from auditor.behaviour.shims.context import ShimContext

META = torch.device("meta")
MESSAGE = 300


class Built(BaseException):
    """The model stands: nothing of the script is needed any more."""


class Nowhere(io.TextIOBase):
    """An output that nobody reads."""

    def write(self, text: str) -> int:
        """Taken and dropped."""
        return len(text)


class Builder:
    """Sees modules being constructed. With ``meta`` their tensors have no storage, else no initial values."""

    def __init__(self, ctx: ShimContext, meta: bool) -> None:
        self.meta = meta
        self.depth = 0
        """How many constructors of the submission's modules are under way."""
        self.roots: list[torch.nn.Module] = []
        """Modules that were constructed outside of any other's constructor."""
        self._ctx = ctx

    def install(self) -> None:
        """Patch torch's module and optimizer classes; the process ends after the one run."""
        module = torch.nn.Module
        self._ctx.patch(module, "__init_subclass__", classmethod(lambda cls, **kwargs: self._subclassed(cls, **kwargs)))
        for name in ("to", "cuda", "cpu", "to_empty"):
            self._ctx.patch(module, name, self._staying(getattr(module, name)))
        self._ctx.patch(module, "__call__", self._calling(module.__call__))
        self._ctx.patch(torch.optim.Optimizer, "__init__", self._stop)
        if not self.meta:
            self._skip_initial_values()

    def model(self) -> torch.nn.Module | None:
        """The constructed module with the most parameters."""
        return max(self.roots, key=count, default=None)

    def _subclassed(self, cls: type[torch.nn.Module], **kwargs: Any) -> None:
        super(torch.nn.Module, cls).__init_subclass__(**kwargs)
        original: Callable[..., None] | None = cls.__dict__.get("__init__")
        if original is None:
            return

        def construct(module: torch.nn.Module, *args: Any, **kwargs: Any) -> None:
            self.depth += 1
            try:
                original(module, *args, **kwargs)
            finally:
                self.depth -= 1
            if self.depth == 0:
                self.roots.append(module)

        construct.__wrapped__ = original  # type: ignore[attr-defined]
        cls.__init__ = construct  # type: ignore[assignment,method-assign]

    def _staying(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def moved(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if any(p.is_meta for p in module.parameters()):
                return module
            return original(module, *args, **kwargs)

        return moved

    def _calling(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if self.depth == 0 and any(module is root for root in self.roots) and count(module):
                raise Built
            return original(module, *args, **kwargs)

        return call

    def _stop(self, *args: Any, **kwargs: Any) -> None:
        raise Built

    def _skip_initial_values(self) -> None:
        for name in ("normal_", "uniform_", "orthogonal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_",
                     "xavier_normal_", "trunc_normal_"):  # fmt: skip
            self._ctx.patch(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor)


class SmokeMode(GuestMode):
    """`GuestMode`, with new tensors on the meta device while a module is being constructed."""

    def __init__(self, ctx: ShimContext, builder: Builder) -> None:
        super().__init__(ctx.handlers)
        self._builder = builder
        self._makers = set(_device_constructors())

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func`` or its stand-in."""
        if self._builder.meta and self._builder.depth and func in self._makers:
            rest = {k: v for k, v in (kwargs or {}).items() if k not in ("device", "pin_memory", "generator")}
            return func(*args, device=META, **rest)
        return super().__torch_function__(func, types, args, kwargs)


def count(module: torch.nn.Module) -> int:
    """Elements of all distinct parameters; one that is tied counts once."""
    return sum(p.numel() for p in module.parameters())


def smoke(command: dict[str, Any], sender: Sender) -> int:
    """Build the model of ``command`` and send ``Built``: parameters, class and failure; returns an exit status.

    ``command["smoke"]`` is ``meta`` or ``memory`` and the folder of the files that replace the toy ones.
    """
    how, folder = command["smoke"]
    run_dir = command["run_dir"]
    shutil.copytree(folder, run_dir, dirs_exist_ok=True)
    ctx = ShimContext(run_dir=run_dir, seed=command["seed"])
    os.environ.clear()
    os.environ.update(command["env"])
    os.chdir(run_dir)
    seed_all(command["seed"])
    install_all(ctx)
    builder = Builder(ctx, how == "meta")
    builder.install()
    sys.stdout = sys.stderr = Nowhere()
    ended: dict[str, Any] = {"error": "", "message": "", "frames": []}
    try:
        with SmokeMode(ctx, builder):
            execute(command["script"], command["argv"], run_dir)
    except Built:
        pass
    except BaseException as error:
        ended = failure(error, run_dir)
    model = builder.model()
    fields = {
        "parameters": 0 if model is None else count(model),
        "model": "" if model is None else type(model).__name__,
        "error": ended["error"], "message": ended["message"][:MESSAGE], "frames": ended["frames"][-4:],
    }  # fmt: skip
    sender.emit("Built", fields)
    sender.emit("Finished", {"status": "ended", **{k: v for k, v in ended.items() if k != "status"}, "time": 0.0})
    sender.flush()
    return 0
