"""Weights that a script of the seeds saved (``final_model.pt``), into the model of a preset.

Such a file comes from a stranger: it is read as data (`artifact.saved`), and nothing of it is ever run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from reference_model.artifact.compress import MAX_RAW
from reference_model.artifact.saved import SavedError, load_saved
from reference_model.config import ModelConfig
from reference_model.model.names import banked, own_names, unbanked
from reference_model.model.transformer import GPT

BIGRAM_SCALE = ModelConfig().bigram_scale_init


class WeightsError(ValueError):
    """A file that holds no weights of the model; the message is one sentence."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by the model's names, float32, banks taken apart. Raises `WeightsError`."""
    try:
        found = load_saved(path.read_bytes(), MAX_RAW)
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from error
    except SavedError as error:
        raise WeightsError(f"{path} is no file of weights: {error}") from error
    if not isinstance(found, Mapping) or not all(isinstance(t, Tensor) for t in found.values()):
        raise WeightsError(f"{path} holds no table of tensors")
    return unbanked(own_names({str(name): tensor.float() for name, tensor in found.items()}))


def load_weights(model: GPT, path: Path) -> None:
    """Fill ``model`` from ``path``. Raises `WeightsError`."""
    load_state(model, read_state(path))


def load_state(model: GPT, state: Mapping[str, Tensor]) -> None:
    """Fill ``model`` from tensors by any of the known names, banked or not. Raises `WeightsError`."""
    given = unbanked(own_names(state))
    wanted = unbanked(model.state_dict())
    for name in wanted:
        if name not in given:
            raise WeightsError(f"the weights have no {name}, which the settings ask for")
    for name, tensor in given.items():
        if name not in wanted:
            raise WeightsError(f"the weights have {name}, and the settings ask for none")
        if tensor.shape != wanted[name].shape:
            asked, found = list(wanted[name].shape), list(tensor.shape)
            raise WeightsError(f"{name} is {found} in the weights, and {asked} by the settings")
    model.load_state_dict(banked(given, model.config.num_layers) if model.config.layout == "banked" else given)


def fitted(
    config: ModelConfig, state: Mapping[str, Tensor], fixed: Collection[str] = ()
) -> tuple[ModelConfig, list[str]]:
    """``config`` with the sizes that ``state`` shows, but for the settings of ``fixed``; and the names changed.

    Only what the shapes decide: what the network computes with them (activation, skips, XSA, rotation, recurrence)
    stays as it was, but that a learned scale of the bigram embedding goes with the XOR hash in every script.
    """
    seen = {name: value for name, value in _sizes(config, state).items() if name not in fixed}
    changed = [f.name for f in fields(config) if f.name in seen and seen[f.name] != getattr(config, f.name)]
    return replace(config, **{name: seen[name] for name in changed}), changed


def _sizes(config: ModelConfig, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Settings that the shapes of ``state`` (own names, no banks) decide."""
    shape = {name: tuple(tensor.shape) for name, tensor in state.items()}
    found: dict[str, Any] = {}
    layers = [int(name.split(".")[1]) for name in shape if name.startswith("blocks.") and name.split(".")[1].isdigit()]
    if layers:
        found["num_layers"] = max(layers) + 1
    if len(shape.get("tok_emb.weight", ())) == 2:
        found["vocab_size"], found["model_dim"] = shape["tok_emb.weight"]
    gain, keys = shape.get("blocks.0.attn.q_gain"), shape.get("blocks.0.attn.c_k.weight")
    if gain and keys and len(keys) == 2:
        found["num_heads"] = gain[0]
        found["num_kv_heads"] = keys[0] // max(keys[1] // gain[0], 1)
    if len(up := shape.get("blocks.0.mlp.up_proj.weight", ())) == 2:
        found["mlp_hidden"] = up[0]
    if len(table := shape.get("bigram_emb.embed.weight", ())) == 2:
        found |= _bigrams(config, table, "bigram_emb.scale" in shape)
    if len(table := shape.get("ve_shared.embed.weight", ())) == 2:
        found["ve_dim"] = table[1]
    found["tie_embeddings"] = "lm_head.weight" not in shape
    return found


def _bigrams(config: ModelConfig, table: tuple[int, ...], scaled: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"bigram_buckets": table[0], "bigram_dim": table[1]}
    if scaled and config.bigram_scale_init is None:
        found |= {"bigram_hash": "xor", "bigram_scale_init": BIGRAM_SCALE}
    elif not scaled and config.bigram_scale_init is not None:
        found |= {"bigram_hash": "linear", "bigram_scale_init": None}
    return found
