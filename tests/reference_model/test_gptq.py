"""GPTQ against rounding to the nearest, and the calibration that it needs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from reference_model.config import ModelConfig, QuantConfig
from reference_model.model import build
from reference_model.model.transformer import GPT
from reference_model.quantisation import quantise
from reference_model.quantisation.clip_search import search
from reference_model.quantisation.gptq import prepare, quantise_gptq, round_columns
from reference_model.quantisation.hessians import calibration_model, collect, self_generated
from reference_model.quantisation.quantised import QuantisationError
from reference_model.quantisation.rows import Levels

SPAN = Levels(-31, 31)
CONFIG = QuantConfig(clip_candidates=5, scales_rounded_first=True, int6_min=-31, gptq=True, matrices="int6_row",
                     keep_float_numel=16)  # fmt: skip
TINY = ModelConfig(vocab_size=64, num_layers=2, model_dim=32, num_heads=4, num_kv_heads=2, mlp_hidden=48)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def correlated(columns: int, count: int, seed: int) -> Tensor:
    """Inputs [count, columns] of a few directions and a little noise."""
    return normal(count, columns // 4, seed=seed) @ normal(columns // 4, columns, seed=seed + 1) + 0.1 * normal(
        count, columns, seed=seed + 2
    )


def output_error(weight: Tensor, values: Tensor, scale: Tensor, inputs: Tensor) -> float:
    return float((inputs @ (weight - values.float() * scale.float()[:, None]).T).pow(2).mean())


@pytest.mark.parametrize("columns", [40, 200])
def test_outputs_are_nearer_than_by_rounding(columns: int) -> None:
    for seed in range(3):
        weight, inputs = 2 * normal(24, columns, seed=seed), correlated(columns, 600, seed)
        plain = output_error(weight, *search(weight, SPAN, CONFIG), inputs)
        ours = output_error(weight, *quantise_gptq(weight, inputs.T @ inputs, SPAN, CONFIG), inputs)
        assert ours < 0.6 * plain


def test_an_identity_hessian_is_plain_rounding() -> None:
    weight = 2 * normal(16, 150, seed=3)
    values, scale = quantise_gptq(weight, torch.eye(150), SPAN, CONFIG)
    nearest, its_scale = search(weight, SPAN, CONFIG)
    assert torch.equal(values, nearest) and torch.equal(scale, its_scale)


def test_blocks_change_nothing_but_float_noise() -> None:
    weight, inputs = normal(8, 64, seed=4), correlated(64, 300, 4)
    hessian = inputs.T @ inputs
    one = quantise_gptq(weight, hessian, SPAN, replace(CONFIG, gptq_block_size=64))
    many = quantise_gptq(weight, hessian, SPAN, replace(CONFIG, gptq_block_size=7))
    assert (one[0] != many[0]).float().mean() < 0.01


def test_the_error_is_spread_as_the_formula_says() -> None:
    """Two columns by hand: what the first misses is put on the second by H12 / H22."""
    hessian = torch.tensor([[2.0, 1.0], [1.0, 1.0]])
    factor = prepare(hessian, 0.0).factor
    weight, scale = torch.tensor([[0.4, 0.2]]), torch.ones(1)
    assert round_columns(weight, factor, scale, SPAN, 2).tolist() == [[0, 1]]  # 0.2 + 0.4 * 1 / 1 = 0.6
    assert round_columns(weight, torch.eye(2), scale, SPAN, 2).tolist() == [[0, 0]]


def test_inputs_that_were_always_zero_get_zero_weights() -> None:
    inputs = correlated(40, 200, 1)
    inputs[:, 5] = 0
    values, _ = quantise_gptq(2 * normal(6, 40, seed=1), inputs.T @ inputs, SPAN, CONFIG)
    assert not values[:, 5].any() and values[:, :5].any()


def test_a_hessian_that_is_none_is_refused() -> None:
    with pytest.raises(QuantisationError, match="positive definite"):
        prepare(-torch.eye(4), 0.01)


def test_matrices_without_a_hessian_get_the_clip_search() -> None:
    weight = 2 * normal(8, 40, seed=2)
    inputs = correlated(40, 200, 2)
    state = {"blocks.0.attn.c_q.weight": weight, "blocks.0.attn.c_k.weight": weight}
    made = quantise(state, CONFIG, {"blocks.0.attn.c_q.weight": inputs.T @ inputs}).tensors
    assert torch.equal(made["blocks.0.attn.c_k.weight"].values, search(weight, SPAN, CONFIG)[0])
    assert not torch.equal(made["blocks.0.attn.c_q.weight"].values, made["blocks.0.attn.c_k.weight"].values)
    off = quantise(state, replace(CONFIG, gptq=False), {"blocks.0.attn.c_q.weight": inputs.T @ inputs}).tensors
    assert torch.equal(off["blocks.0.attn.c_q.weight"].values, made["blocks.0.attn.c_k.weight"].values)


@pytest.mark.parametrize("layout", ["plain", "banked"])
def test_hessians_are_those_of_the_inputs(layout: str) -> None:
    model = build(replace(TINY, layout="banked" if layout == "banked" else "plain"), seed=1)
    batches = [torch.arange(20)[None], torch.arange(20, 40)[None]]
    found = collect(model, batches)
    assert len(found) == 2 * 6 and found["blocks.1.mlp.down_proj.weight"].shape == (48, 48)
    seen: list[Tensor] = []
    module = model.blocks[1].get_submodule("attn.c_q")
    with torch.no_grad():
        hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(0, -2)))
        for batch in batches:
            model(batch)
        hook.remove()
    expected = sum((x.T @ x for x in seen), torch.zeros(32, 32)) / 2
    assert torch.allclose(found["blocks.1.attn.c_q.weight"], expected, atol=1e-4)
    assert torch.equal(found["blocks.1.attn.c_k.weight"], found["blocks.1.attn.c_q.weight"])
    damped = collect(model, batches, damp=0.5)["blocks.1.attn.c_q.weight"]
    assert torch.allclose(damped - expected, 0.5 * expected.diagonal().mean() * torch.eye(32), atol=1e-4)


def test_a_model_writes_the_same_sequences_for_the_same_seed() -> None:
    config = QuantConfig(calibration_sequences=10, calibration_length=12, calibration_temperature=0.8)
    model = build(TINY, seed=2).train()
    told: list[tuple[int, int]] = []
    first = self_generated(model, config, 7, lambda done, whole: told.append((done, whole)))
    again, other = self_generated(model, config, 7), self_generated(model, config, 8)
    assert [t.shape for t in first] == [(1, 12)] * 10 and told == [(8, 10), (10, 10)] and model.training
    assert torch.equal(torch.cat(first), torch.cat(again)) and not torch.equal(torch.cat(first), torch.cat(other))
    assert int(torch.cat(first).max()) < 64


def test_a_cold_model_writes_what_is_likeliest() -> None:
    config = QuantConfig(calibration_sequences=2, calibration_length=6, calibration_temperature=1e-6)
    model = build(TINY, seed=2)
    for tokens in self_generated(model, config, 1):
        with torch.no_grad():
            assert torch.equal(model(tokens[:, :-1]).argmax(dim=-1), tokens[:, 1:])


def test_calibration_without_the_second_pass_of_layers() -> None:
    model: GPT = build(replace(TINY, recur_layers=(0, 1)), seed=3)
    once = calibration_model(model, recurrence=False)
    assert calibration_model(model, recurrence=True) is model and once.config.recur_layers == ()
    batch = [torch.arange(30)[None]]
    name = "blocks.0.attn.c_q.weight"
    assert collect(model, batch)[name].trace() > 1.5 * collect(once, batch)[name].trace()
    single = build(TINY, seed=3)
    single.load_state_dict(model.state_dict())
    assert torch.equal(collect(single, batch)[name], collect(once, batch)[name])
