"""bfloat16 arithmetic in float32: a CPU without bfloat16 units takes several times as long for it, and rounds as much.

No question depends on the rounding: two runs are compared bit for bit in whatever precision both have. A script that
looks at the bits of bfloat16 numbers fails under this stand-in; it is then run again with ``real`` bfloat16, for
which the modules `autocast` and `autocast_ops` are installed instead.
"""

from __future__ import annotations

from typing import Any

import torch

from auditor.behaviour.shims.context import ShimContext


class NoAutocast:
    """``torch.autocast`` in all its forms, doing nothing: everything is computed as its tensors are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.enabled = bool(kwargs.get("enabled", True))
        self.fast_dtype = torch.float32

    def __enter__(self) -> NoAutocast:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def __call__(self, func: Any) -> Any:
        """As a decorator."""
        return func


def install(ctx: ShimContext) -> None:
    """Replace the bfloat16 type, the casts to it and autocast."""
    torch.storage._dtype_to_storage_type_map()  # built now, while the two types still are two
    torch.storage._storage_type_to_dtype_map()
    ctx.patch(torch, "bfloat16", torch.float32)
    ctx.handlers[torch.Tensor.bfloat16] = lambda func, args, kwargs: args[0].float()
    ctx.patch(torch.nn.Module, "bfloat16", lambda self: self.float())
    for owner in (torch, torch.amp, torch.amp.autocast_mode, torch.cuda.amp, torch.cuda.amp.autocast_mode):
        ctx.patch(owner, "autocast", NoAutocast)
    ctx.patch(torch, "is_autocast_enabled", lambda *args: False)
    ctx.patch(torch, "get_autocast_dtype", lambda *args: torch.float32)
    ctx.patch(torch, "get_autocast_gpu_dtype", lambda: torch.float32)
