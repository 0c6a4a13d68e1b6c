"""Frozen logits of the scripts under the weights of `recipe.filled`.

``python -m tests.reference_model.golden`` runs the scripts in the sandbox and writes them anew.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parent / "golden_logits.json"
STEP = 1999
"""Every so many logits one is kept; a prime, so that all positions and tokens are met."""

PARTIAL = {"ROPE_DIMS": "4"}
"""Half of the dimensions of a toy head; the runs at toy scale would rotate all."""
SEEDS: dict[str, tuple[int, str, dict[str, str]]] = {
    "baseline": (0, "records/track_10min_16mb/2026-03-17_NaiveBaseline", {}),
    "gepa_644": (644, "", {**PARTIAL, "BIGRAM_XOR_HASH": "0"}),
    "gepa_598": (598, "", PARTIAL),
    "int5_861": (861, "", PARTIAL),
    "recur_1406": (1406, "2026-04-06_DepthRecurrence", PARTIAL),
    "muon_ttt_1406": (1406, "2026-03-28_MuonTTT", PARTIAL),
    "selfgen_1406": (1406, "2026-04-03_ARSelfGen", PARTIAL),
}
"""Preset to the pull request (0: ``main``), a part of its folder's name, and settings besides those of the toy run."""
RENAMED = {"bigram_vocab_size": "bigram_buckets", "bigram_embed_dim": "bigram_dim"}
SAME = ("vocab_size", "num_layers", "model_dim", "num_heads", "num_kv_heads", "mlp_hidden", "tie_embeddings",
        "tied_embed_init_std", "logit_softcap", "rope_base", "qk_gain_init", "rope_dims", "rope_train_seq_len",
        "ln_scale", "xsa_last_n", "ve_dim", "ve_layers", "recur_layers", "ortho_init", "bigram_buckets",
        "bigram_dim")  # fmt: skip
"""Settings that scripts and reference call alike."""


def settings(network: dict[str, Any]) -> list[str]:
    """The script's arguments for its network, as settings of the reference: ``key=value``."""
    found = {RENAMED.get(name, name): value for name, value in network.items()}
    if "mlp_hidden" not in found:
        found["mlp_hidden"] = int(found["mlp_mult"] * found["model_dim"])
    for name, switch in (("ve_layers", "ve_enabled"), ("recur_layers", "recur_layers")):
        if not found.get(switch):
            found[name] = ""
    chosen = {name: found[name] for name in SAME if name in found}
    if "bigram_xor_hash" in found:
        xor = found["bigram_xor_hash"]
        chosen |= {"bigram_hash": "xor" if xor else "linear", "bigram_scale_init": 0.05 if xor else "none"}
    return [f"{name}={_text(value)}" for name, value in chosen.items()]


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value).lower()


def sampled(logits: np.ndarray) -> list[float]:
    """Some of ``logits`` [b, s, vocab]."""
    return [round(float(value), 6) for value in logits.reshape(-1)[::STEP]]


def frozen() -> dict[str, dict[str, Any]]:
    """Preset to ``settings``, ``seed`` of the tokens and ``logits``."""
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text())
    return found


def main() -> None:
    """Run all scripts and write the file."""
    from tests.reference_model.seeds import run

    found = {}
    for preset, (pr, part, env) in SEEDS.items():
        with tempfile.TemporaryDirectory() as room:
            ran = run(pr, part, Path(room), env)
        found[preset] = {"settings": settings(ran.network), "seed": pr, "logits": sampled(ran.made.logits)}
        print(preset, found[preset]["settings"])
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
