"""The frozen logits of the scripts: the reference gives them, and not with a wrong setting or a planted fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from reference_model.config import ModelConfig, load_preset
from reference_model.model import attention, embeddings, transformer
from reference_model.model.rotary import rotate, rotation
from tests.reference_model.golden import frozen, sampled
from tests.reference_model.toys import with_recipe

CLOSE = 1e-4
SHAPE = (2, 200)


def golden(preset: str) -> tuple[ModelConfig, Tensor, list[float]]:
    """Settings, tokens and logits of a script."""
    kept = frozen()[preset]
    config = load_preset(preset, kept["settings"]).model
    tokens = np.random.default_rng(kept["seed"]).integers(0, config.vocab_size, SHAPE)
    return config, torch.from_numpy(tokens), kept["logits"]


def off_by(preset: str, **changed: object) -> float:
    """Largest difference from the script's frozen logits, with settings changed."""
    config, tokens, wanted = golden(preset)
    model = with_recipe(replace(config, **changed), "baseline" if preset == "baseline" else "gepa")  # type: ignore[arg-type]
    with torch.inference_mode():
        found = sampled(model(tokens).numpy())
    return max(abs(a - b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("preset", sorted(frozen()))
def test_logits_are_the_frozen_ones_of_the_script(preset: str) -> None:
    assert off_by(preset) < CLOSE


@pytest.mark.parametrize(
    ("preset", "changed"),
    [
        ("gepa_644", {"bigram_hash": "xor"}),
        ("gepa_644", {"rope_train_seq_len": 0}),
        ("gepa_598", {"bigram_hash": "linear"}),
        ("gepa_598", {"rope_dims": 6}),
        ("gepa_598", {"xsa_last_n": 1}),
        ("gepa_598", {"ln_scale": False}),
        ("gepa_598", {"smear_gate": False}),
        ("gepa_598", {"logit_softcap": 29.0}),
        ("gepa_598", {"ve_layers": (2, 4)}),
        ("int5_861", {"leaky_slope": 0.4}),
        ("int5_861", {"mlp": "star_relu"}),
        ("recur_1406", {"recur_layers": ()}),
        ("recur_1406", {"recur_layers": (2, 1)}),
        ("muon_ttt_1406", {"rope_base": 9_000.0}),
    ],
)
def test_a_wrong_setting_is_noticed(preset: str, changed: dict[str, object]) -> None:
    assert off_by(preset, **changed) > 10 * CLOSE


def own_value_kept(y: Tensor, v: Tensor) -> Tensor:
    return y


def turned_back(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Attention sees distances alone: turned the other way, their sign is wrong."""
    return rotate(x, (angles[0], -angles[1]))


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        (attention, "without_own_value", own_value_kept),
        (attention, "rotate", lambda x, angles: x),
        (attention, "rotate", turned_back),
        (embeddings, "XOR_PRIMES", (36313, 27193)),
        (transformer, "rotation", lambda length, dims, base, train, device: rotation(length, dims, base, 0, device)),
    ],
)
def test_a_planted_fault_is_noticed(module: object, name: str, wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, name, wrong)
    assert off_by("gepa_598") > 10 * CLOSE
