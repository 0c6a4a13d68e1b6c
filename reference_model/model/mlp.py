"""Feed-forward layers: ReLU squared, Star-ReLU, LeakyReLU squared, SwiGLU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.config import ModelConfig
from reference_model.model.linear import Matrix


class FeedForward(nn.Module):
    """``matrices``: ``up_proj``, ``down_proj`` and, for SwiGLU, ``gate_proj``."""

    def __init__(self, config: ModelConfig, matrices: dict[str, Matrix]) -> None:
        super().__init__()
        self.kind, self.slope = config.mlp, config.leaky_slope
        self.up_proj, self.down_proj = matrices["up_proj"], matrices["down_proj"]
        self.gate_proj = matrices.get("gate_proj")
        self.affine = has_affine(config)
        if self.affine:
            self.scale = nn.Parameter(torch.ones(config.mlp_hidden))
            self.bias = nn.Parameter(torch.zeros(config.mlp_hidden))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [b, s, dim] to [b, s, dim]."""
        hidden = self.activated(x)
        if self.affine:
            hidden = torch.addcmul(self.bias.to(hidden.dtype), hidden, self.scale.to(hidden.dtype))
        out: Tensor = self.down_proj(hidden)
        return out

    def activated(self, x: Tensor) -> Tensor:
        """The hidden units [b, s, hidden] after the activation."""
        up: Tensor = self.up_proj(x)
        if self.gate_proj is not None:  # SwiGLU: GLU Variants Improve Transformer, arXiv 2002.05202
            return F.silu(self.gate_proj(x)) * up
        if self.kind == "leaky_relu2":
            return F.leaky_relu(up, self.slope).square()
        return F.relu(up).square()  # Primer, arXiv 2109.08668


def has_affine(config: ModelConfig) -> bool:
    """Whether hidden units have a learned scale and bias: Star-ReLU (MetaFormer Baselines, arXiv 2210.13452) has."""
    return config.mlp_affine or config.mlp == "star_relu"
