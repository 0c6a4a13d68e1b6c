"""One layer: attention and feed-forward on a stream that the first embedding is mixed into again."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.config import ModelConfig
from reference_model.model.attention import Attention
from reference_model.model.linear import Matrix
from reference_model.model.mlp import FeedForward
from reference_model.model.rotary import Rotation


class Block(nn.Module):
    """Layer ``layer``; ``attention`` and ``mlp`` name its matrices."""

    def __init__(self, config: ModelConfig, layer: int, attention: dict[str, Matrix], mlp: dict[str, Matrix]) -> None:
        super().__init__()
        self.attn = Attention(config, layer, attention)
        self.mlp = FeedForward(config, mlp)
        self.attn_scale = nn.Parameter(torch.ones(config.model_dim))
        self.mlp_scale = nn.Parameter(torch.ones(config.model_dim))
        self.resid_mix = nn.Parameter(torch.stack((torch.ones(config.model_dim), torch.zeros(config.model_dim))))
        self.norm_scale = 1 / math.sqrt(layer + 1) if config.ln_scale else 1.0

    def forward(self, x: Tensor, x0: Tensor, angles: Rotation, value_embedding: Tensor | None = None) -> Tensor:
        """``x`` [b, s, dim] and the first embedding ``x0`` [b, s, dim] to [b, s, dim]."""
        keep, again = self.resid_mix.to(x.dtype)
        x = torch.addcmul(keep * x, again, x0)
        x = torch.addcmul(x, self.attn_scale.to(x.dtype), self.attn(self._normed(x), angles, value_embedding))
        return torch.addcmul(x, self.mlp_scale.to(x.dtype), self.mlp(self._normed(x)))

    def _normed(self, x: Tensor) -> Tensor:
        normed = F.rms_norm(x, (x.size(-1),))
        return normed if self.norm_scale == 1 else normed * self.norm_scale
