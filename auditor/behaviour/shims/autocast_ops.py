"""The operations that CUDA autocast runs in float32, taught to CPU autocast, whose own list is shorter.

Without them softmax, log and sums of a bfloat16 model would be rounded to bfloat16 here and not on the real machine,
and the probabilities that a script scores with would not sum to one.
Source: PyTorch documentation, "CUDA Ops that can autocast to float32".
"""

from __future__ import annotations

from typing import Any

import torch

from auditor.behaviour.shims.context import ShimContext

FLOAT32 = frozenset({
    "acos", "asin", "binary_cross_entropy_with_logits", "cosh", "cosine_embedding_loss", "cdist", "cosine_similarity",
    "cumprod", "cumsum", "dist", "erfinv", "exp", "expm1", "group_norm", "hinge_embedding_loss", "kl_div", "l1_loss",
    "layer_norm", "log", "log10", "log_softmax", "log1p", "log2", "margin_ranking_loss", "mse_loss", "nll_loss",
    "nll_loss_nd", "norm", "pow", "prod", "reciprocal", "renorm", "rsqrt", "sinh", "smooth_l1_loss", "softmax",
    "softplus", "sum", "tan", "triplet_margin_loss", "logsumexp",
})  # fmt: skip
_LIBRARY: Any = torch.library.Library
_LOW = (torch.float16, torch.bfloat16)


def missing_on_cpu() -> list[str]:
    """Operations of the list, as ``name.overload``, that CUDA autocast handles and CPU autocast does not."""
    found = []
    for full in torch._C._dispatch_get_all_op_names():
        space, _, name = full.partition("::")
        if space == "aten" and name.partition(".")[0] in FLOAT32 and _handles(full, "AutocastCUDA"):
            found += [] if _handles(full, "AutocastCPU") else [name]
    return sorted(found)


def _handles(name: str, key: str) -> bool:
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(name, key))


def _widen(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in _LOW else value


def _kernel(name: str) -> Any:
    packet, _, overload = name.partition(".")
    operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(keys):
            return operation(*map(_widen, args), **{key: _widen(value) for key, value in kwargs.items()})

    return run


def install(ctx: ShimContext) -> None:
    """Register the missing kernels for CPU autocast, until ``ctx.restore()``."""
    library: Any = _LIBRARY("aten", "IMPL", "AutocastCPU")
    for name in missing_on_cpu():
        library.impl(name, _kernel(name), "AutocastCPU")
    ctx.on_restore(library._destroy)
