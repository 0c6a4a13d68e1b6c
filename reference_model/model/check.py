"""Which settings of the network fit each other."""

from __future__ import annotations

from reference_model.config import ModelConfig, PresetError

POSITIVE = ("vocab_size", "num_layers", "model_dim", "num_heads", "num_kv_heads", "mlp_hidden", "bigram_dim", "ve_dim",
            "logit_softcap", "rope_base")  # fmt: skip
NOT_NEGATIVE = ("bigram_buckets", "rope_dims", "rope_train_seq_len", "xsa_last_n")


def check(config: ModelConfig) -> None:
    """Raises `PresetError`, one sentence, for the first settings that do not fit."""
    for problem in _problems(config):
        raise PresetError(problem)


def _problems(config: ModelConfig) -> list[str]:
    """All that is wrong, in sentences."""
    found = [f"{name} must be more than 0" for name in POSITIVE if getattr(config, name) <= 0]
    found += [f"{name} must not be negative" for name in NOT_NEGATIVE if getattr(config, name) < 0]
    if found:
        return found
    heads, head_dim = config.num_heads, config.model_dim // config.num_heads
    rotated = config.rope_dims or head_dim
    if config.model_dim % heads or head_dim % 2:
        found.append(f"model_dim {config.model_dim} must be an even multiple of num_heads {heads}")
    if heads % config.num_kv_heads:
        found.append(f"num_heads {heads} must be a multiple of num_kv_heads {config.num_kv_heads}")
    if rotated > head_dim or rotated % 2 or (config.rope_train_seq_len and rotated == 2):
        found.append(f"rope_dims {rotated} must be even and at most the {head_dim} dimensions of a head")
    if config.bigram_buckets == 1:
        found.append("bigram_buckets must be 0 or at least 2")
    for name in ("recur_layers", "ve_layers"):
        outside = [i for i in getattr(config, name) if i < 0 or (i >= config.num_layers and name == "recur_layers")]
        if outside:
            found.append(f"{name} names layer {outside[0]}, and the model's {config.num_layers} layers count from 0")
    return found
