"""The first weights.

Output projections begin at zero, so that every layer begins as the identity; other matrices as PyTorch's linear layers,
or orthogonal (`ModelConfig.ortho_init`) where both sides have at least 64 rows (those of banks always).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from reference_model.config import ModelConfig
from reference_model.model.banks import BANKS
from reference_model.model.linear import Linear
from reference_model.model.transformer import GPT

SMALL_STD = 0.01
ORTHO_FROM = 64
ZERO = ("attn.proj", "mlp.down_proj", "lm_head")
"""Matrices that begin at zero."""


def build(config: ModelConfig, seed: int | None = None) -> GPT:
    """A new model in float32 with its first weights; ``seed``: drawn from it alone, else from the global generator.

    Raises `PresetError`.
    """
    if seed is None:
        return _initialised(GPT(config))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _initialised(GPT(config))


def _initialised(model: GPT) -> GPT:
    config = model.config
    with torch.no_grad():
        nn.init.normal_(model.tok_emb.weight, std=config.tied_embed_init_std if config.tie_embeddings else 1.0)
        if model.bigram_emb is not None:
            _fill_bigrams(model.bigram_emb.embed.weight, config)
        if model.ve_shared is not None:
            nn.init.normal_(model.ve_shared.embed.weight, std=SMALL_STD)
        for name, module in model.named_modules():
            if isinstance(module, Linear):
                _fill(name, module.weight, config, embedding=name.startswith(("bigram_emb", "ve_shared")))
        for bank, kinds in BANKS.items():
            if (weights := getattr(model, bank, None)) is not None:
                for i, matrix in enumerate(weights):
                    _fill(kinds[i // config.num_layers], matrix, config, banked=True)
    return model


def _fill_bigrams(table: Tensor, config: ModelConfig) -> None:
    if config.bigram_hash == "xor":
        nn.init.zeros_(table)
    else:
        nn.init.normal_(table, std=SMALL_STD)


def _fill(name: str, weight: Tensor, config: ModelConfig, *, embedding: bool = False, banked: bool = False) -> None:
    if name.endswith(ZERO):
        nn.init.zeros_(weight)
    elif config.ortho_init and (banked or min(weight.shape) >= ORTHO_FROM):
        nn.init.orthogonal_(weight)
        if embedding and config.ortho_scale_proj:
            weight.mul_(1 / math.sqrt(2 * config.num_layers))
    elif embedding:
        nn.init.zeros_(weight)
    else:
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
