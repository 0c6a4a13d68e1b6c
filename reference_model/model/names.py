"""Names of tensors: those of the scripts of the seeds, those of the model, and banks against single matrices."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from reference_model.model.banks import BANKS

WRAPPERS = re.compile(r"^(?:_orig_mod\.|module\.)+")
"""What `torch.compile` and DistributedDataParallel put in front."""
RENAMED = (
    (re.compile(r"^bigram\."), "bigram_emb."),
    (re.compile(r"^smear\."), "smear_gate."),
    (re.compile(r"\.mlp\.fc\."), ".mlp.up_proj."),
    (re.compile(r"\.mlp\.proj\."), ".mlp.down_proj."),
)
"""Names of the scripts and ours: the baseline and #1406 say ``bigram``, ``smear``, ``mlp.fc`` and ``mlp.proj``."""


def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` with the model's names for its tensors."""
    return {own_name(name): tensor for name, tensor in state.items()}


def own_name(name: str) -> str:
    """The model's name for the tensor that a script calls ``name``."""
    name = WRAPPERS.sub("", name)
    for pattern, ours in RENAMED:
        name = pattern.sub(ours, name)
    return name


def unbanked(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` with each bank [n, out, in] taken apart into the matrices of the layers."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        kinds = BANKS.get(name)
        if kinds is None:
            found[name] = tensor
            continue
        layers = tensor.size(0) // len(kinds)
        for i, matrix in enumerate(tensor):
            found[f"blocks.{i % layers}.{kinds[i // layers]}.weight"] = matrix
    return found


def banked(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """``state`` with the matrices of all ``layers`` stacked in banks [n, out, in].

    Raises KeyError for a missing one.
    """
    left = dict(state)
    found: dict[str, Tensor] = {}
    for bank, kinds in BANKS.items():
        names = [f"blocks.{i}.{kind}.weight" for kind in kinds for i in range(layers)]
        if names[0] in left:
            found[bank] = torch.stack([left.pop(name) for name in names])
    return left | found
