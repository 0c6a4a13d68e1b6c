"""Rotary position embedding of a head's first dimensions, and YaRN's larger base beyond the training length.

RoFormer (arXiv 2104.09864); the base for longer sequences is the NTK-aware one that YaRN (arXiv 2309.00071) starts
from: base * (length / trained length) ** (d / (d - 2)).
"""

from __future__ import annotations

import torch
from torch import Tensor

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines, each [s, d / 2]."""


def rotation(length: int, dims: int, base: float, train_length: int, device: torch.device) -> Rotation:
    """The angles of ``length`` positions for ``dims`` rotated dimensions, float32.

    ``train_length``: beyond it the base grows; 0: never.
    """
    if 0 < train_length < length:
        base = base * (length / train_length) ** (dims / (dims - 2))
    frequencies = 1.0 / base ** (torch.arange(0, dims, 2, dtype=torch.float32, device=device) / dims)
    angles = torch.outer(torch.arange(length, dtype=torch.float32, device=device), frequencies)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, angles: Rotation) -> Tensor:
    """``x`` [b, s, h, d] with its first 2 * len(angles) dimensions rotated, in pairs (i, i + half)."""
    cos, sin = (table.to(x.dtype)[None, :, None, :] for table in angles)
    half = cos.size(-1)
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat((first * cos + second * sin, second * cos - first * sin, rest), dim=-1)
