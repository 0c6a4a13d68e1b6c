"""Which parameter is optimised how: matrices of the blocks by Muon, everything else by AdamW.

Parameters are told apart by the names that the competition's scripts give them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from reference_model.config import OptimConfig
from reference_model.optim.muon import Muon, zeropower

Kind = Literal["token", "aux", "head", "matrix", "scalar"]

CONTROL = ("attn_scale", "mlp_scale", "resid_mix", "q_gain", "skip_weight", "skip_gate", "smear", "ve_layer_scales")
"""Parts of names whose tensors scale or mix activations: never orthogonalised, even when they have two dimensions."""
_LAYER = re.compile(r"(?:^|\.)blocks\.(\d+)\.")
_EMBEDDING = re.compile(r"(?:^|\.)(?:bigram\w*|ve_shared|value_embeds?\w*)\.embed\w*\.weight$")


def kind_of(name: str, param: Tensor) -> Kind:
    """How the parameter ``name`` is optimised.

    ``token``: the token embedding; ``aux``: bigram and value embeddings; ``head``: an untied output head; ``matrix``:
    projections and banks; ``scalar``: gains, scales, gates, biases and the small projections of the aux embeddings.
    """
    if name.endswith("tok_emb.weight"):
        return "token"
    if name.endswith("lm_head.weight"):
        return "head"
    if _EMBEDDING.search(name):
        return "aux"
    if any(part in name for part in CONTROL):
        return "scalar"
    if name.endswith("_bank") and param.ndim == 3:
        return "matrix"
    return "matrix" if param.ndim == 2 and _LAYER.search(name) else "scalar"


def in_decoder(name: str, num_layers: int) -> bool:
    """Whether ``name`` belongs to a layer of the second half (layers from ``num_layers // 2`` on)."""
    match = _LAYER.search(name)
    return match is not None and int(match.group(1)) >= num_layers // 2


def build_optimizers(
    model: nn.Module,
    config: OptimConfig,
    *,
    orthogonalise: Callable[[Tensor, int], Tensor] = zeropower,
) -> list[torch.optim.Optimizer]:
    """Optimisers for all parameters of ``model`` but those `left_out`, AdamW first, Muon last.

    Every group has its peak learning rate as ``base_lr``; `set_lr` scales them. Layers of the second half have their
    rates times ``decoder_lr_mult`` (banks hold all layers in one tensor and are not told apart). Raises `ValueError`
    where a model has no parameter.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad and not left_out(name, config)]
    layers = 1 + max((int(m.group(1)) for name, _ in named if (m := _LAYER.search(name))), default=-1)
    tied = not any(kind_of(name, p) == "head" for name, p in named)
    groups: dict[tuple[bool, float], list[Tensor]] = {}
    for name, param in named:
        kind = placed(name, kind_of(name, param), config)
        rate = _rate(kind, config, tied=tied)
        if kind in ("matrix", "scalar") and in_decoder(name, layers):
            rate *= config.decoder_lr_mult
        groups.setdefault((kind == "matrix", rate), []).append(param)
    if sum(len(params) for params in groups.values()) != len(named) or not named:
        raise ValueError("a model without parameters cannot be trained")
    adam = [_group(params, rate) for (is_matrix, rate), params in groups.items() if not is_matrix]
    matrices = [_group(params, rate) for (is_matrix, rate), params in groups.items() if is_matrix]
    found: list[torch.optim.Optimizer] = []
    if adam:
        found.append(_adamw(adam, config))
    if matrices:
        found.append(_muon(matrices, config, orthogonalise))
    return found


def left_out(name: str, config: OptimConfig) -> bool:
    """Whether no optimiser has the parameter: the bigram embedding's scale, where settings say so."""
    return not config.bigram_scale_trained and re.search(r"(?:^|\.)bigram\w*\.scale$", name) is not None


def placed(name: str, kind: Kind, config: OptimConfig) -> Kind:
    """``kind`` after the settings that put single tensors elsewhere: the bigram projection under Muon."""
    if config.muon_bigram_proj and re.search(r"(?:^|\.)bigram\w*\.proj\.weight$", name):
        return "matrix"
    return kind


def _rate(kind: Kind, config: OptimConfig, *, tied: bool) -> float:
    token = config.tied_embed_lr if tied else config.embed_lr
    aux = token if config.aux_embed_lr == "token" else config.scalar_lr
    rates = {"token": token, "aux": aux, "head": config.head_lr, "matrix": config.matrix_lr, "scalar": config.scalar_lr}
    return rates[kind]


def _group(params: list[Tensor], rate: float) -> dict[str, Any]:
    return {"params": params, "lr": rate, "base_lr": rate}


def _adamw(groups: list[dict[str, Any]], config: OptimConfig) -> torch.optim.AdamW:
    on_cuda = all(p.is_cuda for group in groups for p in group["params"])
    return torch.optim.AdamW(
        groups,
        betas=(config.beta1, config.beta2),
        eps=config.adam_eps,
        weight_decay=config.adam_wd,
        fused=True if on_cuda else None,
    )


def _muon(groups: list[dict[str, Any]], config: OptimConfig, orthogonalise: Callable[[Tensor, int], Tensor]) -> Muon:
    return Muon(
        groups,
        lr=config.matrix_lr,
        momentum=config.muon_momentum,
        steps=config.muon_backend_steps,
        weight_decay=config.muon_wd,
        row_norm=config.muon_row_norm,
        orthogonalise=orthogonalise,
    )


def set_lr(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Every group's learning rate to its peak times ``factor``."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor


def set_momentum(optimizers: list[torch.optim.Optimizer], momentum: float) -> None:
    """Muon's momentum; other optimisers keep theirs."""
    for optimizer in optimizers:
        if isinstance(optimizer, Muon):
            for group in optimizer.param_groups:
                group["momentum"] = momentum
