"""A whole state dict, quantised by classes of tensors, and back.

The rules are those of the submissions' scripts; what differs among them is a field of `QuantConfig`:

- no floats: kept as it is;
- at most ``keep_float_numel`` elements: kept, as float32 if it is a control tensor (``keep_names``), else as float16;
- with ``keep_names_of = "large"`` (#1406) it is the control tensors of more elements that are kept in float32;
- the rest by its class (`part_of`): matrices of attention and MLP, embeddings, others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from reference_model.config import QuantConfig, Scheme
from reference_model.quantisation.banks import unbank
from reference_model.quantisation.clip_search import search
from reference_model.quantisation.gptq import quantise_gptq
from reference_model.quantisation.pruning import prune_smallest
from reference_model.quantisation.quantised import Quantised, QuantisedTensor
from reference_model.quantisation.rows import levels, quantise_rows, quantise_tensor, quantise_tensor_clipped

Part = Literal["attention", "mlp", "embeddings", "other"]
FLOATS = {"float16": torch.float16, "float32": torch.float32}


def part_of(name: str) -> Part:
    """The class of a tensor, by its name in the state dict."""
    if "tok_emb" in name or "lm_head" in name:
        return "embeddings"
    if ".mlp." in name:
        return "mlp"
    if ".attn." in name or ".proj." in name:
        return "attention"
    return "other"


def scheme_of(name: str, config: QuantConfig) -> Scheme:
    """How a large tensor is quantised."""
    part = part_of(name)
    if part == "embeddings":
        return config.embeddings
    return config.other if part == "other" else config.matrices


def quantise(
    state: Mapping[str, Tensor], config: QuantConfig, hessians: Mapping[str, Tensor] | None = None
) -> Quantised:
    """Prune and quantise ``state``; banks are split into matrices.

    Nothing of the result shares memory with ``state``.

    Args: hessians: for GPTQ, [columns, columns] by the matrix's name; matrices without one get the clip search.
    Raises `QuantisationError`.
    """
    tensors = {}
    for name, tensor in unbank(state).items():
        pruned = prune_smallest(tensor.detach().cpu().contiguous(), config.prune_fraction, config.keep_float_numel)
        tensors[name] = quantise_one(name, pruned, config, (hessians or {}).get(name))
    return Quantised(tensors)


def quantise_one(name: str, tensor: Tensor, config: QuantConfig, hessian: Tensor | None = None) -> QuantisedTensor:
    """One tensor of a state dict. Raises `QuantisationError`."""
    if not tensor.is_floating_point():
        return QuantisedTensor(tensor.clone(), None, "as_is", tensor.dtype)
    small = tensor.numel() <= config.keep_float_numel
    control = any(word in name for word in config.keep_names)
    if control and small == (config.keep_names_of == "small"):
        return QuantisedTensor(tensor.to(torch.float32, copy=True), None, "float32", torch.float32)
    scheme = scheme_of(name, config)
    if small or scheme in FLOATS:
        return _kept(tensor, "float32" if scheme == "float32" and not small else "float16")
    values, scale = _integers(tensor, scheme, config, hessian)
    return QuantisedTensor(values.contiguous(), scale.contiguous(), scheme, tensor.dtype)


def dequantise(quantised: Quantised) -> dict[str, Tensor]:
    """Float weights by name, no banks; `model.weights.load_state` fills a model of either layout with them."""
    return {name: entry.weight() for name, entry in quantised.tensors.items()}


def _kept(tensor: Tensor, form: Literal["float16", "float32"]) -> QuantisedTensor:
    if tensor.dtype not in (torch.float32, torch.bfloat16):
        return QuantisedTensor(tensor.clone(), None, "as_is", tensor.dtype)
    return QuantisedTensor(tensor.to(FLOATS[form], copy=True), None, form, tensor.dtype)


def _integers(tensor: Tensor, scheme: Scheme, config: QuantConfig, hessian: Tensor | None) -> tuple[Tensor, Tensor]:
    """Values and scale by the scheme."""
    span = levels(scheme, config)
    if scheme == "int8_tensor":
        return quantise_tensor(tensor, span)
    searched = scheme != "int8_row" and config.clip_candidates > 0
    if tensor.ndim != 2:
        first = searched and config.scales_rounded_first
        return quantise_tensor(tensor, span) if first else quantise_tensor_clipped(tensor, span)
    if hessian is not None and config.gptq and may_use_gptq(scheme):
        return quantise_gptq(tensor, hessian, span, config)
    if searched:
        return search(tensor, span, config)
    return quantise_rows(tensor, span, config.clip_floor)


def may_use_gptq(scheme: Scheme) -> bool:
    """Whether GPTQ may be used: rows of six bits or fewer."""
    return scheme in ("int6_row", "int5_row")
