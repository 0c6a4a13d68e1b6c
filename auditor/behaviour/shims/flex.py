"""``flex_attention`` computed densely: the eager path of torch has no backward on a CPU."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.attention as attention
import torch.nn.attention.flex_attention as flex
from torch import Tensor

from auditor.behaviour.shims.context import ShimContext

Indices = tuple[Tensor, Tensor, Tensor, Tensor]


def _indices(batch: int, heads: int, queries: int, keys: int, device: torch.device) -> Indices:
    """Batch, head, query and key numbers, shaped to broadcast over [b, h, q, k]."""
    shapes = ((-1, 1, 1, 1), (1, -1, 1, 1), (1, 1, -1, 1), (1, 1, 1, -1))
    sizes = (batch, heads, queries, keys)
    made = [torch.arange(size, device=device).view(shape) for size, shape in zip(sizes, shapes, strict=True)]
    return made[0], made[1], made[2], made[3]


def _sizes(scores: Tensor) -> tuple[int, int, int, int]:
    batch, heads, queries, keys = scores.shape
    return batch, heads, queries, keys


def flex_attention(
    query: Tensor, key: Tensor, value: Tensor, score_mod: Any = None, block_mask: Any = None,
    scale: float | None = None, enable_gqa: bool = False, return_lse: bool = False, kernel_options: Any = None,
    **rest: Any,
) -> Any:  # fmt: skip
    """Attention of query [b, h, q, d] on key and value [b, h_kv, k, d], with a score and a mask function.

    Returns [b, h, q, d_v] in the query's dtype, and with ``return_lse`` the log-sum-exp [b, h, q] in float32 too. Rows
    that may attend to nothing give zeros.
    """
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    groups = query.shape[1] // key.shape[1]
    wide = [side.float().repeat_interleave(groups, 1) for side in (key, value)]
    scores = torch.matmul(query.float(), wide[0].transpose(-1, -2)) * scale
    where = _indices(*_sizes(scores), query.device)
    if score_mod is not None:
        scores = score_mod(scores, *where)
    if block_mask is not None and block_mask.mask_mod is not None:
        visible = torch.as_tensor(block_mask.mask_mod(*where))
        scores = torch.where(visible, scores, torch.tensor(float("-inf")))
    lse = torch.logsumexp(scores, -1)
    weights = torch.exp(scores - lse.masked_fill(lse == float("-inf"), 0.0)[..., None])
    out = torch.matmul(weights, wide[1]).to(query.dtype)
    return (out, lse) if return_lse else out


class BlockMask:
    """What ``create_block_mask`` returns here: the mask function and the sizes."""

    def __init__(self, mask_mod: Any, sizes: tuple[int, int, int, int]) -> None:
        self.mask_mod, self.shape = mask_mod, sizes
        self.seq_lengths = sizes[2:]
        self.BLOCK_SIZE = (128, 128)

    def to(self, *args: Any, **kwargs: Any) -> BlockMask:
        """It is on no device."""
        return self

    def numel(self) -> int:
        """Entries of the dense mask."""
        return math.prod(self.shape)

    def sparsity(self) -> float:
        """Per cent of blocks skipped: not known here, 0."""
        return 0.0


def create_block_mask(mask_mod: Any, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, *args: Any, **kwargs: Any
                      ) -> BlockMask:  # fmt: skip
    """Keep the function; it is evaluated when attention is computed."""
    return BlockMask(mask_mod, (B or 1, H or 1, Q_LEN, KV_LEN))


def create_mask(
    mod_fn: Any, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, *args: Any, **kwargs: Any
) -> Tensor:
    """The dense mask [b, h, q, k]."""
    sizes = (B or 1, H or 1, Q_LEN, KV_LEN)
    return torch.as_tensor(mod_fn(*_indices(*sizes, torch.device("cpu")))).expand(sizes)


def install(ctx: ShimContext) -> None:
    """Patch ``torch.nn.attention.flex_attention``."""
    for name, value in (("flex_attention", flex_attention), ("create_block_mask", create_block_mask),
                        ("create_mask", create_mask), ("_create_block_mask", create_block_mask)):  # fmt: skip
        ctx.patch(flex, name, value)
    ctx.patch(attention, "flex_attention", flex)
