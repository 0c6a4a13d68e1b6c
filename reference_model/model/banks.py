"""Where the matrices of the layers are kept: each on its own, or stacked in banks for a batched optimiser."""

from __future__ import annotations

import torch
from torch import nn

from reference_model.config import ModelConfig
from reference_model.model.linear import Bank, BankedLinear, Linear, Matrix

BANKS: dict[str, tuple[str, ...]] = {
    "qo_bank": ("attn.c_q", "attn.proj"),
    "kv_bank": ("attn.c_k", "attn.c_v"),
    "mlp_gate_bank": ("mlp.gate_proj",),
    "mlp_up_bank": ("mlp.up_proj",),
    "mlp_down_bank": ("mlp.down_proj",),
}
"""Bank to its matrices: first the first of all layers, then the second of all layers."""


def matrix_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """The matrices of one layer: name in the block to (outputs, inputs)."""
    dim, hidden = config.model_dim, config.mlp_hidden
    kv = dim // config.num_heads * config.num_kv_heads
    shapes = {"attn.c_q": (dim, dim), "attn.c_k": (kv, dim), "attn.c_v": (kv, dim), "attn.proj": (dim, dim)}
    shapes |= {"mlp.up_proj": (hidden, dim), "mlp.down_proj": (dim, hidden)}
    return shapes | {"mlp.gate_proj": (hidden, dim)} if config.mlp == "swiglu" else shapes


def make_banks(config: ModelConfig) -> dict[str, Bank]:
    """Empty banks [n, outputs, inputs] for all layers."""
    shapes = matrix_shapes(config)
    return {
        bank: Bank(nn.Parameter(torch.empty(len(kinds) * config.num_layers, *shapes[kinds[0]])))
        for bank, kinds in BANKS.items()
        if kinds[0] in shapes
    }


def matrices(config: ModelConfig, layer: int, banks: dict[str, Bank], part: str) -> dict[str, Matrix]:
    """The matrices of ``part`` (``attn`` or ``mlp``) of one layer, by their name there."""
    found: dict[str, Matrix] = {}
    for name, (outputs, inputs) in matrix_shapes(config).items():
        owner, _, own = name.partition(".")
        if owner == part:
            found[own] = _banked(config, layer, banks, name) if banks else Linear(inputs, outputs)
    return found


def _banked(config: ModelConfig, layer: int, banks: dict[str, Bank], name: str) -> BankedLinear:
    bank = next(bank for bank, kinds in BANKS.items() if name in kinds)
    return BankedLinear(banks[bank], BANKS[bank].index(name) * config.num_layers + layer)
