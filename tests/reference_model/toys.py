"""Toy networks none of whose weights is zero."""

from __future__ import annotations

import torch
from torch import Tensor

from reference_model.config import ModelConfig, load_preset
from reference_model.model import GPT, build
from reference_model.scale import toy_model


def toy(preset: str) -> ModelConfig:
    return toy_model(load_preset(preset).model)


def shaken(config: ModelConfig, seed: int = 0) -> GPT:
    """A toy model none of whose weights is zero."""
    model = build(config, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=0.2)
    return model


def some_tokens(config: ModelConfig, length: int = 24, seed: int = 0) -> Tensor:
    return torch.randint(config.vocab_size, (2, length), generator=torch.Generator().manual_seed(seed))
