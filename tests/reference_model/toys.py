"""Networks for tests, none of whose weights is zero."""

from __future__ import annotations

import torch
from torch import Tensor

from reference_model.config import ModelConfig, load_preset
from reference_model.model import GPT, build
from reference_model.model.weights import load_state
from reference_model.scale import toy_model
from tests.reference_model.recipe import filled


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


def script_name(name: str, banks: bool) -> str:
    """What the script calls the tensor that the model calls ``name``."""
    if banks:
        return name.replace("bigram_emb.", "bigram.").replace("smear_gate.", "smear.")
    return name


def with_recipe(config: ModelConfig, names: str = "gepa") -> GPT:
    """A model with the weights of `filled`, by the names of the scripts of one family."""
    model = GPT(config).eval()
    state = {}
    for name, tensor in model.state_dict().items():
        called = script_name(name, config.layout == "banked")
        if names == "baseline":
            called = called.replace("mlp.up_proj", "mlp.fc").replace("mlp.down_proj", "mlp.proj")
        state[called] = torch.from_numpy(filled(called, tuple(tensor.shape)))  # type: ignore[no-untyped-call]
    load_state(model, state)
    return model
