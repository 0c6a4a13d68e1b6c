"""Causal self-attention with grouped queries, a learned gain on each query head, and exclusive self-attention."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.config import ModelConfig
from reference_model.model.linear import Matrix
from reference_model.model.rotary import Rotation, rotate


def flash_attention() -> Any:
    """FlashAttention 3's function, or None where it is not installed."""
    try:
        from flash_attn_interface import flash_attn_func  # type: ignore[import-not-found]
    except ImportError:
        return None
    return flash_attn_func


FLASH = flash_attention()
HAS_GROUPS = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 5)
"""Whether PyTorch's attention takes fewer key heads than query heads."""


class Attention(nn.Module):
    """``matrices``: ``c_q``, ``c_k``, ``c_v`` and ``proj``."""

    def __init__(self, config: ModelConfig, layer: int, matrices: dict[str, Matrix]) -> None:
        super().__init__()
        self.heads, self.kv_heads = config.num_heads, config.num_kv_heads
        self.head_dim = config.model_dim // config.num_heads
        self.c_q, self.c_k, self.c_v, self.proj = (matrices[name] for name in ("c_q", "c_k", "c_v", "proj"))
        self.q_gain = nn.Parameter(torch.full((config.num_heads,), config.qk_gain_init))
        self.exclusive = layer >= config.num_layers - config.xsa_last_n

    def forward(self, x: Tensor, angles: Rotation, value_embedding: Tensor | None = None) -> Tensor:
        """``x`` [b, s, dim] to [b, s, dim]; ``value_embedding`` [b, s, kv_heads * head_dim] is added to the values."""
        b, s, _ = x.shape
        values = self.c_v(x)
        if value_embedding is not None:
            values = values + value_embedding
        q = self.c_q(x).view(b, s, self.heads, self.head_dim)
        k = self.c_k(x).view(b, s, self.kv_heads, self.head_dim)
        v = values.view(b, s, self.kv_heads, self.head_dim)
        q = rotate(F.rms_norm(q, (self.head_dim,)), angles) * self.q_gain.to(q.dtype)[:, None]
        k = rotate(F.rms_norm(k, (self.head_dim,)), angles)
        y = attend(q, k, v)
        if self.exclusive:
            y = without_own_value(y, v)
        out: Tensor = self.proj(y.reshape(b, s, -1))
        return out


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention: ``q`` [b, s, h, d], ``k`` and ``v`` [b, s, h_kv, d] to [b, s, h, d].

    Query head i reads key head i // (h / h_kv). FlashAttention 3 where it is installed and the values are of half
    precision on a GPU, else PyTorch's own kernels.
    """
    if FLASH is not None and v.is_cuda and v.dtype in (torch.float16, torch.bfloat16):
        found = FLASH(q.to(v.dtype), k.to(v.dtype), v, causal=True)
        out: Tensor = found[0] if isinstance(found, tuple) else found
        return out
    groups = q.size(2) != k.size(2)
    if groups and not HAS_GROUPS:
        k, v = (t.repeat_interleave(q.size(2) // t.size(2), dim=2) for t in (k, v))
        groups = False
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    named: dict[str, Any] = {"enable_gqa": True} if groups else {}
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, **named).transpose(1, 2)


def without_own_value(y: Tensor, v: Tensor) -> Tensor:
    """``y`` [b, s, h, d] less its projection on the position's own value ``v`` [b, s, h_kv, d] of its group.

    Exclusive self-attention: y - (y . u) u with u = v / |v|, so that the output is orthogonal to the own value.
    """
    b, s, h, d = y.shape
    grouped = y.reshape(b, s, v.size(2), h // v.size(2), d)
    unit = F.normalize(v, dim=-1).unsqueeze(3)
    return (grouped - (grouped * unit).sum(-1, keepdim=True) * unit).view(b, s, h, d)
