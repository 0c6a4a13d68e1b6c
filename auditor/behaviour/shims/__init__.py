"""Stand-ins for what the guest's machine lacks (CUDA, NCCL, flash-attention, a wall clock), one file per thing."""

from __future__ import annotations

import importlib

from auditor.behaviour.shims.context import ShimContext

ORDER = (
    "clock", "entropy", "cuda", "device", "autocast", "inference", "compile", "distributed", "flash_attention",
    "triton", "nvidia_smi", "network", "missing", "files",
)  # fmt: skip
"""Time and entropy first, because others draw on them; files last, because installing opens some.

Not here: ``mode``, which the runner enters around the script."""
_active: list[ShimContext] = []


def install_all(ctx: ShimContext) -> None:
    """Install every shim into this process; a second call with the same context does nothing.

    Raises RuntimeError while another context's shims are in force. Imports torch.
    """
    if any(other is ctx for other in _active):
        return
    if _active:
        raise RuntimeError("the shims of another context are installed: restore it first")
    modules = [importlib.import_module(f"{__name__}.{name}") for name in ORDER]
    _active.append(ctx)
    ctx.on_restore(_active.clear)
    for module in modules:
        module.install(ctx)
