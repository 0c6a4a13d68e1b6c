"""Learning rate by step and by clock, momentum warm-up, and which parameter gets which rate."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from reference_model.config import OptimConfig, TrainConfig
from reference_model.optim.groups import build_optimizers, in_decoder, kind_of, set_lr, set_momentum
from reference_model.optim.muon import Muon
from reference_model.optim.schedule import lr_factor, muon_momentum

BY_STEP = TrainConfig(iterations=100, warmdown_iters=40, max_wallclock_seconds=0.0)
BY_CLOCK = TrainConfig(iterations=10_000, warmdown_iters=1200, max_wallclock_seconds=600.0)


@pytest.mark.parametrize(("step", "factor"), [(0, 1.0), (59, 1.0), (60, 1.0), (70, 0.75), (80, 0.5), (99, 0.025)])
def test_linear_by_step(step: int, factor: float) -> None:
    assert lr_factor(step, 1e9, BY_STEP) == pytest.approx(factor)


@pytest.mark.parametrize(("step", "factor"), [(60, 1.0), (70, 0.8535534), (80, 0.5), (90, 0.1464466), (100, 0.0)])
def test_cosine_by_step(step: int, factor: float) -> None:
    cosine = TrainConfig(iterations=100, warmdown_iters=40, max_wallclock_seconds=0.0, warmdown="cosine")
    assert lr_factor(step, 0.0, cosine) == pytest.approx(factor, abs=1e-7)


def test_by_clock_hand_computed() -> None:
    """5,000 steps in 500 s are 100 ms each: the warmdown takes 120 s, of which 100 s are left."""
    assert lr_factor(5000, 500_000.0, BY_CLOCK) == pytest.approx(100 / 120)
    assert lr_factor(4799, 479_900.0, BY_CLOCK) == 1.0
    assert lr_factor(6000, 600_000.0, BY_CLOCK) == 0.0
    assert lr_factor(6001, 600_100.0, BY_CLOCK) == 0.0


def test_a_slower_machine_begins_earlier() -> None:
    assert lr_factor(1250, 500_000.0, BY_CLOCK) == pytest.approx(100 / 480)


def test_the_first_step_is_at_peak() -> None:
    assert lr_factor(0, 0.0, BY_CLOCK) == 1.0


def test_no_warmdown() -> None:
    assert lr_factor(99, 0.0, TrainConfig(iterations=100, warmdown_iters=0, max_wallclock_seconds=0.0)) == 1.0


def test_momentum_warms_up() -> None:
    config = OptimConfig(muon_momentum=0.99, muon_momentum_warmup_start=0.92, muon_momentum_warmup_steps=1500)
    values = [muon_momentum(step, config) for step in (0, 750, 1500, 9000)]
    assert values == pytest.approx([0.92, 0.955, 0.99, 0.99])


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(8, 8, bias=False)
        self.q_gain = nn.Parameter(torch.ones(2))
        self.resid_mix = nn.Parameter(torch.ones(2, 8))


class Aux(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(16, 4)
        self.proj = nn.Linear(4, 8, bias=False)


class Standin(nn.Module):
    """Names as the scripts have them."""

    def __init__(self, untied: bool = False) -> None:
        super().__init__()
        self.tok_emb = nn.Embedding(32, 8)
        self.bigram = Aux()
        self.skip_weights = nn.Parameter(torch.ones(2, 8))
        self.blocks = nn.ModuleList(Layer() for _ in range(5))
        if untied:
            self.lm_head = nn.Linear(8, 32, bias=False)


def rates(model: nn.Module, config: OptimConfig) -> dict[str, tuple[str, float]]:
    """Name -> optimiser and peak rate."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: (type(optimizer).__name__, group["base_lr"])
        for optimizer in build_optimizers(model, config)
        for group in optimizer.param_groups
        for p in group["params"]
    }


def test_every_parameter_has_its_rate() -> None:
    config = OptimConfig(matrix_lr=0.01, scalar_lr=0.02, tied_embed_lr=0.03, decoder_lr_mult=2.0)
    found = rates(Standin(), config)
    assert set(found) == {name for name, _ in Standin().named_parameters()}
    assert found["tok_emb.weight"] == found["bigram.embed.weight"] == ("AdamW", 0.03)
    assert found["bigram.proj.weight"] == found["skip_weights"] == ("AdamW", 0.02)
    assert found["blocks.1.proj.weight"] == ("Muon", 0.01) and found["blocks.2.proj.weight"] == ("Muon", 0.02)
    assert found["blocks.1.resid_mix"] == ("AdamW", 0.02) and found["blocks.4.q_gain"] == ("AdamW", 0.04)


def test_an_untied_head_changes_the_token_rate() -> None:
    found = rates(Standin(untied=True), OptimConfig(embed_lr=0.6, head_lr=0.008, tied_embed_lr=0.03))
    assert found["tok_emb.weight"] == ("AdamW", 0.6) and found["lm_head.weight"] == ("AdamW", 0.008)


def test_settings_of_the_bigram() -> None:
    found = rates(Standin(), OptimConfig(scalar_lr=0.02, aux_embed_lr="scalar", muon_bigram_proj=True, matrix_lr=0.01))
    assert found["bigram.embed.weight"] == ("AdamW", 0.02) and found["bigram.proj.weight"] == ("Muon", 0.01)


def test_a_scale_that_is_left_out() -> None:
    model = Standin()
    model.bigram.scale = nn.Parameter(torch.tensor(0.05))
    assert "bigram.scale" in rates(model, OptimConfig())
    assert set(rates(Standin(), OptimConfig())) == set(rates(model, OptimConfig(bigram_scale_trained=False)))


def test_banks_are_matrices() -> None:
    assert kind_of("qo_bank", torch.zeros(4, 8, 8)) == "matrix"
    assert kind_of("ve_layer_scales.0", torch.zeros(1)) == "scalar" and kind_of("x.bias", torch.zeros(3)) == "scalar"
    assert kind_of("ve_shared.embed.weight", torch.zeros(9, 3)) == "aux"


def test_the_middle_layer_belongs_to_the_decoder() -> None:
    assert [in_decoder(f"blocks.{i}.proj.weight", 5) for i in range(5)] == [False, False, True, True, True]
    assert not in_decoder("tok_emb.weight", 5)


def test_set_lr_and_momentum() -> None:
    optimizers = build_optimizers(Standin(), OptimConfig(matrix_lr=0.01))
    set_lr(optimizers, 0.25)
    set_momentum(optimizers, 0.5)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            assert group["lr"] == 0.25 * group["base_lr"]
            assert group.get("momentum", 0.5) == 0.5
    assert isinstance(optimizers[-1], Muon)


def test_a_model_without_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="parameters"):
        build_optimizers(nn.Module(), OptimConfig())
