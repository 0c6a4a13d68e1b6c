"""``torch.autocast("cuda", ...)`` becomes CPU autocast of the same dtype, with CUDA's list of float32 operations."""

from __future__ import annotations

from typing import Any

import torch

from auditor.behaviour.shims.context import ShimContext

_REAL = torch.amp.autocast_mode.autocast


class Autocast(_REAL):
    """CPU autocast under the name of the CUDA one; float16 stays float16, a missing dtype is CUDA's float16."""

    def __init__(
        self,
        device_type: str,
        dtype: torch.dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if str(device_type).split(":")[0] == "cuda":
            device_type, dtype = "cpu", dtype or torch.float16
        super().__init__(device_type, dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


class CudaAutocast(Autocast):
    """The older ``torch.cuda.amp.autocast(enabled, dtype, cache_enabled)``."""

    def __init__(self, enabled: bool = True, dtype: torch.dtype = torch.float16, cache_enabled: bool = True) -> None:
        super().__init__("cuda", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


def install(ctx: ShimContext) -> None:
    """Patch the autocast classes and the questions about them."""
    for owner in (torch, torch.amp, torch.amp.autocast_mode):
        ctx.patch(owner, "autocast", Autocast)
    for owner in (torch.cuda.amp, torch.cuda.amp.autocast_mode):
        ctx.patch(owner, "autocast", CudaAutocast)
    for name in ("is_autocast_enabled", "get_autocast_dtype", "set_autocast_enabled", "set_autocast_dtype"):
        _redirect(ctx, name)
    ctx.patch(torch, "get_autocast_gpu_dtype", lambda: torch.get_autocast_dtype("cpu"))


def _redirect(ctx: ShimContext, name: str) -> None:
    """Questions about "cuda" (also the default of ``is_autocast_enabled()``) are answered for "cpu"."""
    real = getattr(torch, name)

    def ask(*args: Any) -> Any:
        if args and isinstance(args[0], str):
            args = ("cpu" if args[0] == "cuda" else args[0], *args[1:])
        elif name.startswith(("is_", "set_")):
            args = ("cpu", *args)
        return real(*args)

    ctx.patch(torch, name, ask)
