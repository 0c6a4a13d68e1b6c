"""The seeds' own scripts, run at toy scale in the sandbox: the reference gives their logits under their weights."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.behaviour.audit import why_not
from reference_model.cli import main
from tests.reference_model.seeds import Ran, Weights, run

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not os.environ.get("GOLF_CORPUS_GIT"), reason="GOLF_CORPUS_GIT names no repository"),
    pytest.mark.skipif(bool(why_not(False)), reason=f"no sandbox: {why_not(False)}"),
]

SEEDS = {
    "gepa_644": (644, ""),
    "gepa_598": (598, ""),
    "int5_861": (861, ""),
    "recur_1406": (1406, "2026-04-06_DepthRecurrence"),
    "muon_ttt_1406": (1406, "2026-03-28_MuonTTT"),
    "selfgen_1406": (1406, "2026-04-03_ARSelfGen"),
}
RENAMED = {"bigram_vocab_size": "bigram_buckets", "bigram_embed_dim": "bigram_dim"}
SAME = ("vocab_size", "num_layers", "model_dim", "num_heads", "num_kv_heads", "mlp_hidden", "tie_embeddings",
        "tied_embed_init_std", "logit_softcap", "rope_base", "qk_gain_init", "rope_dims", "rope_train_seq_len",
        "ln_scale", "xsa_last_n", "ve_dim", "ve_layers", "recur_layers", "ortho_init", "bigram_buckets",
        "bigram_dim")  # fmt: skip
"""Settings that scripts and reference call alike."""
SIZES = ("num_layers", "model_dim", "num_heads", "num_kv_heads", "mlp_hidden", "ve_dim", "bigram_buckets", "bigram_dim",
         "vocab_size")  # fmt: skip
"""Settings that the weights' shapes show."""
CLOSE = 1e-4


@cache
def ran(preset: str, room: Path) -> Ran:
    """The toy run of a preset's script, once for all tests."""
    return run(*SEEDS[preset], room)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seeds")


def settings(network: dict[str, Any]) -> dict[str, Any]:
    """The script's arguments for its network, as settings of the reference."""
    found = {RENAMED.get(name, name): value for name, value in network.items()}
    if "mlp_hidden" not in found:
        found["mlp_hidden"] = int(found["mlp_mult"] * found["model_dim"])
    if not found.get("ve_enabled"):
        found["ve_layers"] = ""
    if not found.get("recur_layers"):
        found["recur_layers"] = ""
    chosen = {name: found[name] for name in SAME if name in found}
    if "bigram_xor_hash" in found:
        xor = found["bigram_xor_hash"]
        chosen |= {"bigram_hash": "xor" if xor else "linear", "bigram_scale_init": 0.05 if xor else "none"}
    return chosen


def logits(preset: str, weights: Weights, tokens: np.ndarray, chosen: dict[str, Any], tmp_path: Path) -> np.ndarray:
    """What the command gives."""
    (tmp_path / "weights.pt").write_bytes(weights.file)
    np.save(tmp_path / "tokens.npy", tokens)
    arguments = ["logits", "--preset", preset, "--weights", str(tmp_path / "weights.pt")]
    arguments += ["--tokens", str(tmp_path / "tokens.npy"), "--out", str(tmp_path / "logits.npy")]
    for name, value in chosen.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value).lower()
        arguments += ["--set", f"{name}={text}"]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    found: np.ndarray = np.load(tmp_path / "logits.npy")
    return found


@pytest.mark.parametrize("preset", SEEDS)
@pytest.mark.parametrize("which", ["saved", "made"])
def test_logits_are_those_of_the_script(preset: str, which: str, room: Path, tmp_path: Path) -> None:
    seed = ran(preset, room)
    weights = getattr(seed, which)
    found = logits(preset, weights, seed.tokens, settings(seed.network), tmp_path)
    assert found.dtype == np.float32
    assert np.abs(weights.logits).max() > 0.01
    assert np.abs(found - weights.logits).max() < CLOSE
