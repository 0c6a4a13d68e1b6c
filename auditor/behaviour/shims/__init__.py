"""Stand-ins for what the guest's machine lacks (CUDA, NCCL, flash-attention, a wall clock), one file per thing."""

from __future__ import annotations

import importlib

from auditor.behaviour.shims.context import ShimContext

ORDER = (
    "clock", "entropy", "threads", "dispatch", "cuda", "device", "precision", "inference", "initial", "compile",
    "distributed", "flash_attention", "flex", "triton", "nvidia_smi", "network", "missing", "folders", "files",
)  # fmt: skip
"""Time and entropy first, because others draw on them; files last, because installing opens some.

Not here: ``mode``, which the runner enters around the script."""
REAL_PRECISION = ("autocast", "autocast_ops")
"""In place of ``precision`` where a script looks at the bits of bfloat16 numbers."""
_active: list[ShimContext] = []


def install_all(ctx: ShimContext) -> None:
    """Install every shim into this process; a second call with the same context does nothing.

    Raises RuntimeError while another context's shims are in force. Imports torch.
    """
    if any(other is ctx for other in _active):
        return
    if _active:
        raise RuntimeError("the shims of another context are installed: restore it first")
    names = [n for name in ORDER for n in (REAL_PRECISION if ctx.real_bfloat16 and name == "precision" else (name,))]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    _active.append(ctx)
    ctx.on_restore(_active.clear)
    for module in modules:
        module.install(ctx)
