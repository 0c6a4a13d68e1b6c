"""Weights: banks and single matrices, files of the scripts, and files that hold no weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from reference_model.config import load_preset
from reference_model.model import GPT
from reference_model.model.names import banked, own_names, unbanked
from reference_model.model.weights import WeightsError, fitted, load_state, read_state
from tests.reference_model.toys import shaken, some_tokens, toy


def test_banked_and_plain_are_the_same_network() -> None:
    config = toy("recur_1406")
    stacked = shaken(config)
    single = GPT(replace(config, layout="plain")).eval()
    load_state(single, stacked.state_dict())
    tokens = some_tokens(config)
    assert torch.equal(stacked(tokens), single(tokens))
    back = GPT(config)
    load_state(back, single.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(back.state_dict().values(), stacked.state_dict().values(), strict=True)
    )


def test_banks_come_apart_and_together_again() -> None:
    model = shaken(replace(toy("recur_1406"), mlp="swiglu"))
    apart = unbanked(model.state_dict())
    assert not any(name.endswith("_bank") for name in apart)
    again = banked(apart, model.config.num_layers)
    assert {name: t.sum().item() for name, t in again.items()} == {
        name: t.sum().item() for name, t in model.state_dict().items()
    }


def test_a_copied_banked_model_is_its_own() -> None:
    model = shaken(toy("recur_1406"))
    tokens, before = some_tokens(model.config), model(some_tokens(model.config))
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for tensor in twin.parameters():
            tensor.zero_()
    assert torch.equal(model(tokens), before)
    assert twin(tokens).abs().max() == 0


def test_weights_of_other_sizes_are_refused_or_fitted(tmp_path: Path) -> None:
    model = shaken(toy("recur_1406"))
    torch.save(own_names(model.state_dict()), tmp_path / "w.pt")
    state = read_state(tmp_path / "w.pt")
    full = load_preset("recur_1406", ["recur_layers=", "rope_dims=4", "ve_layers=4"]).model
    config, changed = fitted(full, state)
    assert {"model_dim", "num_layers", "num_heads", "mlp_hidden", "bigram_buckets"} <= set(changed)
    load_state(GPT(config), state)
    with pytest.raises(WeightsError, match=r" is \[.*\] in the weights"):
        load_state(GPT(replace(config, model_dim=2 * config.model_dim)), state)
    with pytest.raises(WeightsError, match=r"have no smear_gate\.gate"):
        load_state(GPT(config), {name: t for name, t in state.items() if "smear" not in name})
    with pytest.raises(WeightsError, match="settings ask for none"):
        load_state(GPT(config), {**state, "extra": torch.zeros(1)})
    assert fitted(full, state, fixed=["model_dim"])[0].model_dim == full.model_dim


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 nothing"])
def test_files_that_hold_no_weights(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.pt"):
        read_state(tmp_path / "w.pt")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("run",))


def test_a_pickle_with_code_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"tok_emb.weight": Evil()}, tmp_path / "w.pt")
    with pytest.raises(WeightsError):
        read_state(tmp_path / "w.pt")
    assert "run" not in capsys.readouterr().out
