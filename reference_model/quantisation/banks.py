"""State dicts with banks, taken apart in the order of #1406's script: layer by layer within a bank.

The order decides which of equal values selective pruning takes first; `model.names.banked` puts banks together again.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from reference_model.model.banks import BANKS
from reference_model.quantisation.quantised import QuantisationError


def unbank(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` with single matrices (``blocks.<i>.attn.c_q.weight``, ...) in place of each bank [n, out, in].

    Raises `QuantisationError` for a bank that does not hold the same number of matrices of each kind.
    """
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        kinds = BANKS.get(name)
        if kinds is None:
            out[name] = tensor
            continue
        layers, rest = divmod(len(tensor), len(kinds)) if tensor.ndim == 3 else (0, 1)
        if rest:
            raise QuantisationError(f"{name} does not hold the matrices of whole layers")
        for layer in range(layers):
            for place, kind in enumerate(kinds):
                out[f"blocks.{layer}.{kind}.weight"] = tensor[place * layers + layer]
    return out
