"""Banks: all layers' matrices of one kind stacked in one 3-D tensor, as the state dicts of #1406 hold them.

``qo_bank`` [2n, d, d] holds the queries of n layers, then the output projections; ``kv_bank`` [2n, kv, d] keys, then
values; ``mlp_up_bank`` [n, hidden, d]; ``mlp_down_bank`` [n, d, hidden]. Quantisation works on single matrices.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from reference_model.quantisation.quantised import QuantisationError

BANKS: dict[str, tuple[str, ...]] = {
    "qo_bank": ("attn.c_q.weight", "attn.proj.weight"),
    "kv_bank": ("attn.c_k.weight", "attn.c_v.weight"),
    "mlp_up_bank": ("mlp.fc.weight",),
    "mlp_down_bank": ("mlp.proj.weight",),
}
"""Name of a bank to the matrices that it holds, each for all layers in turn."""


def is_banked(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict holds a bank."""
    return any(name in state for name in BANKS)


def unbank(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with single matrices (``blocks.<i>.attn.c_q.weight``, ...) in place of banks.

    Raises `QuantisationError` for banks whose numbers of layers differ.
    """
    counts = {len(state[name]) / len(kinds) for name, kinds in BANKS.items() if name in state}
    if len(counts) > 1 or any(count != int(count) for count in counts):
        raise QuantisationError("the banks do not hold the same number of layers")
    layers = int(max(counts, default=0))
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        kinds = BANKS.get(name)
        if kinds is None:
            out[name] = tensor
            continue
        for layer in range(layers):
            for place, kind in enumerate(kinds):
                out[f"blocks.{layer}.{kind}"] = tensor[place * layers + layer]
    return out


def rebank(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `unbank`; banks come first. Raises `QuantisationError` where a layer's matrix is missing."""
    names = [name.split(".") for name in state if name.startswith("blocks.")]
    layers = 1 + max((int(parts[1]) for parts in names if parts[1].isdecimal()), default=-1)
    out: dict[str, Tensor] = {}
    used: set[str] = set()
    for bank, kinds in BANKS.items():
        wanted = [f"blocks.{layer}.{kind}" for kind in kinds for layer in range(layers)]
        missing = [name for name in wanted if name not in state]
        if missing:
            raise QuantisationError(f"{bank} lacks {missing[0]}")
        out[bank] = torch.stack([state[name] for name in wanted])
        used.update(wanted)
    out.update((name, tensor) for name, tensor in state.items() if name not in used)
    return out
