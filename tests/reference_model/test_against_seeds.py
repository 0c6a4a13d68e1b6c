"""The seeds' own scripts, run at toy scale in the sandbox: the reference gives their logits under their weights."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from auditor.behaviour.audit import why_not
from reference_model.cli import main
from reference_model.config import load_preset
from tests.reference_model.full_size import built
from tests.reference_model.golden import SEEDS, frozen, sampled, settings
from tests.reference_model.seeds import Ran, Weights, run, tokens_of
from tests.reference_model.toys import with_recipe

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not os.environ.get("GOLF_CORPUS_GIT"), reason="GOLF_CORPUS_GIT names no repository"),
    pytest.mark.skipif(bool(why_not(False)), reason=f"no sandbox: {why_not(False)}"),
]

SIZES = ("vocab_size", "num_layers", "model_dim", "num_heads", "num_kv_heads", "mlp_hidden", "ve_dim",
         "bigram_buckets", "bigram_dim", "bigram_hash", "bigram_scale_init")  # fmt: skip
"""Settings that the weights show."""
CLOSE = 1e-4


@cache
def ran(preset: str, room: Path) -> Ran:
    """The toy run of a preset's script, once for all tests."""
    pr, part, env = SEEDS[preset]
    return run(pr, part, room / preset, env)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seeds")


def logits(preset: str, weights: Weights, tokens: np.ndarray, chosen: list[str], tmp_path: Path) -> np.ndarray:
    """What the command gives."""
    (tmp_path / "weights.pt").write_bytes(weights.file)
    np.save(tmp_path / "tokens.npy", tokens)
    arguments = ["logits", "--preset", preset, "--weights", str(tmp_path / "weights.pt")]
    arguments += ["--tokens", str(tmp_path / "tokens.npy"), "--out", str(tmp_path / "logits.npy")]
    with pytest.raises(SystemExit) as ended:
        main(arguments + [text for setting in chosen for text in ("--set", setting)])
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


@pytest.mark.parametrize("preset", SEEDS)
def test_sizes_are_found_in_the_weights(preset: str, room: Path, tmp_path: Path) -> None:
    seed = ran(preset, room)
    chosen = [setting for setting in settings(seed.network) if not setting.startswith(SIZES)]
    found = logits(preset, seed.made, seed.tokens, chosen, tmp_path)
    assert np.abs(found - seed.made.logits).max() < CLOSE


@pytest.mark.parametrize("preset", SEEDS)
def test_frozen_numbers_are_the_scripts(preset: str, room: Path) -> None:
    seed, kept = ran(preset, room), frozen()[preset]
    assert kept["settings"] == settings(seed.network)
    assert np.allclose(kept["logits"], sampled(seed.made.logits), atol=CLOSE, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("preset", SEEDS)
def test_full_size_networks_are_the_same(preset: str, tmp_path: Path) -> None:
    chosen, (pr, part, _) = load_preset(preset), SEEDS[preset]
    tokens = tokens_of(pr, chosen.model.vocab_size, (1, chosen.train.train_seq_len))
    wanted, parameters = built(pr, part, tmp_path, chosen.model, tokens)
    model = with_recipe(chosen.model, "baseline" if preset == "baseline" else "gepa")
    assert sum(p.numel() for p in model.parameters()) == parameters
    with torch.inference_mode():
        assert np.abs(model(torch.from_numpy(tokens)).numpy() - wanted).max() < CLOSE
