"""What a token brings along: hashed bigrams, the blend with the token before, and value embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.config import ModelConfig
from reference_model.model.linear import Linear

XOR_PRIMES = (36313, 27191)
"""Factors of the current and the previous token."""
LINEAR_FACTOR = 1009
VALUE_SCALE_INIT = 0.1


class BigramEmbedding(nn.Module):
    """A vector for each (previous, current) pair of tokens, found by a hash."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.kind, self.buckets = config.bigram_hash, config.bigram_buckets
        self.embed = nn.Embedding(config.bigram_buckets, config.bigram_dim)
        projects = config.bigram_project_always or config.bigram_dim != config.model_dim
        self.proj = Linear(config.bigram_dim, config.model_dim) if projects else None
        start = config.bigram_scale_init
        self.scale = None if start is None else nn.Parameter(torch.tensor(start))

    def forward(self, tokens: Tensor) -> Tensor:
        """``tokens`` [b, s] to [b, s, dim]."""
        hidden: Tensor = self.embed(bigram_buckets(tokens, self.buckets, self.kind))
        if self.proj is not None:
            hidden = self.proj(hidden)
        return hidden if self.scale is None else hidden * self.scale.to(hidden.dtype)


def bigram_buckets(tokens: Tensor, buckets: int, kind: str) -> Tensor:
    """The bucket [b, s] of each token of ``tokens`` [b, s] and the one before it.

    ``xor``: (36313 * current XOR 27191 * previous) mod (buckets - 1) in 32 bits, and the last bucket for the first
    position. ``linear``: (1009 * previous + current) mod buckets, with previous 0 for the first position.
    """
    previous = F.pad(tokens[..., :-1], (1, 0))
    if kind == "linear":
        return (previous * LINEAR_FACTOR + tokens) % buckets
    current, before = (t.to(torch.int32) * prime for t, prime in zip((tokens, previous), XOR_PRIMES, strict=True))
    found = torch.bitwise_xor(current, before) % (buckets - 1)
    first = torch.arange(tokens.size(-1), device=tokens.device) == 0
    return torch.where(first, buckets - 1, found).long()


class SmearGate(nn.Module):
    """Each channel blends with the token before: (1 - g) x_t + g x_(t-1), g = sigmoid(gate)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.bos_id = config.bos_id if config.smear_documents else None
        self.gate = nn.Parameter(torch.zeros(config.model_dim))

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """``x`` [b, s, dim], ``tokens`` [b, s]; before the first position, and before a BOS if so set, is nothing."""
        gate = torch.sigmoid(self.gate.to(x.dtype))
        before = F.pad(x[:, :-1], (0, 0, 1, 0))
        if self.bos_id is not None:
            before = before * (tokens != self.bos_id).unsqueeze(-1)
        return (1 - gate) * x + gate * before


class ValueEmbedding(nn.Module):
    """One table of token embeddings for the values of several layers."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.model_dim // config.num_heads * config.num_kv_heads
        self.embed = nn.Embedding(config.vocab_size, config.ve_dim)
        self.proj = Linear(config.ve_dim, width) if config.ve_dim != width else None
        self.scale = nn.Parameter(torch.tensor(VALUE_SCALE_INIT))

    def forward(self, tokens: Tensor) -> Tensor:
        """``tokens`` [b, s] to [b, s, kv_heads * head_dim]."""
        hidden: Tensor = self.embed(tokens)
        if self.proj is not None:
            hidden = self.proj(hidden)
        return hidden * self.scale.to(hidden.dtype)
