"""Quantisation: bounds on the error, the clip search, classes of tensors, pruning, straight-through training."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reference_model.config import PresetError, QuantConfig, Scheme, load_preset
from reference_model.model.names import banked
from reference_model.quantisation import Quantised, QuantisedTensor, dequantise, quantise
from reference_model.quantisation.banks import unbank
from reference_model.quantisation.clip_search import FRACTIONS, search
from reference_model.quantisation.mixed import part_of, quantise_one
from reference_model.quantisation.pruning import prune_ones, prune_smallest
from reference_model.quantisation.qat import SPANS, fake_quantise, rounded
from reference_model.quantisation.quantised import QuantisationError
from reference_model.quantisation.rows import (
    Levels,
    levels,
    quantile,
    quantise_rows,
    quantise_tensor,
    quantise_tensor_clipped,
    to_levels,
)

INT6, INT8 = Levels(-32, 31), Levels(-127, 127)
HALF_ULP = 2.0**-11
"""Relative error of a float16."""


def normal(*shape: int, seed: int = 0, std: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * std


def excess(weight: Tensor, values: Tensor, scale: Tensor, span: Levels) -> float:
    """By how much an element that was not clipped misses half a step, the float16 of the scale allowed for."""
    step = scale.float()[:, None] if scale.ndim else scale.float()
    error = (weight - values.float() * step).abs()
    allowed = step * (0.5 + values.abs() * HALF_ULP) * (1 + 1e-3)
    inside = (values > span.low) & (values < span.high)
    return float(torch.where(inside, error - allowed, torch.zeros(())).max())


@pytest.mark.parametrize("scheme", ["int8_row", "int6_row", "int5_row"])
@given(seed=st.integers(0, 10_000), std=st.sampled_from([0.01, 0.3, 1.0, 20.0]), rows=st.integers(1, 9))
@settings(max_examples=15, deadline=None)
def test_each_element_is_within_half_a_step(scheme: Scheme, seed: int, std: float, rows: int) -> None:
    weight, span = normal(rows, 40, seed=seed, std=std), levels(scheme, QuantConfig())
    for values, scale in (quantise_rows(weight, span), search(weight, span, QuantConfig(clip_candidates=5))):
        assert values.dtype == torch.int8 and scale.dtype == torch.float16 and scale.shape == (rows,)
        assert int(values.min()) >= span.low and int(values.max()) <= span.high
        assert excess(weight, values, scale, span) <= 0


def test_a_wrong_rounding_is_noticed() -> None:
    weight = normal(20, 40)
    values, scale = quantise_rows(weight, INT8)
    cut = torch.trunc(weight / scale.float()[:, None]).to(torch.int8)  # planted: towards zero, not to the nearest
    assert excess(weight, values, scale, INT8) <= 0 < excess(weight, cut, scale, INT8)


def test_one_scale_for_the_tensor() -> None:
    weight = normal(3, 5, 7, std=4.0)
    values, scale = quantise_tensor(weight, INT8)
    assert scale.shape == () and scale.dtype == torch.float16 and int(values.abs().max()) == 127
    assert excess(weight, values, scale, INT8) <= 0
    values, scale = quantise_tensor_clipped(weight, INT8)
    assert scale.shape == () and scale.dtype == torch.float32
    assert excess(weight, values, scale, INT8) <= 0
    zeros, one = quantise_tensor(torch.zeros(4), INT8)
    assert not zeros.any() and float(one) == 1.0


def test_halves_go_to_even_and_the_ends_are_clamped() -> None:
    values = to_levels(torch.tensor([[0.5, 1.5, 2.5, -0.5, 99.0, -99.0]]), torch.ones(1), INT6)
    assert values.tolist() == [[0, 2, 2, 0, 31, -32]]


def test_rows_of_small_weights_share_a_step_unless_the_floor_is_gone() -> None:
    weight = normal(4, 50, std=0.02)
    values, scale = quantise_rows(weight, INT6, floor=1.0)
    assert scale.tolist() == [float(torch.tensor(1 / 31).half())] * 4 and int(values.abs().max()) <= 4
    finer, own = quantise_rows(weight, INT6, floor=0.0)
    assert len(set(own.tolist())) == 4 and int(finer.abs().max()) == 31
    assert quantise_rows(torch.zeros(2, 3), INT6, floor=0.0)[1].tolist() == [1.0, 1.0]


def test_quantiles_are_interpolated_as_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    values, fractions = normal(6, 100).abs(), torch.tensor(FRACTIONS[15])
    theirs = quantile(values, fractions)
    monkeypatch.setattr("reference_model.quantisation.rows.QUANTILE_LIMIT", 10)
    assert torch.equal(quantile(values, fractions), theirs) and theirs.shape == (15, 6)
    assert torch.equal(quantile(values, 0.99), torch.quantile(values, 0.99, dim=1))


@given(seed=st.integers(0, 10_000), outliers=st.floats(0, 0.2), candidates=st.sampled_from([5, 15]))
@settings(max_examples=20, deadline=None)
def test_the_clip_search_is_never_worse_than_the_plain_maximum(seed: int, outliers: float, candidates: int) -> None:
    weight = normal(8, 200, seed=seed)
    weight[torch.rand(8, 200, generator=torch.Generator().manual_seed(seed)) < outliers] *= 30

    def error(choice: str, number: int) -> Tensor:
        config = QuantConfig(clip_candidates=number, clip_choice="row" if choice == "row" else "tensor",
                             clip_floor=0.0, scales_rounded_first=True)  # fmt: skip
        values, scale = search(weight, INT6, config)
        return (weight - values.float() * scale.float()[:, None]).pow(2)

    clip = weight.abs().amax(dim=1)
    plain = (clip / 31).half().float()[:, None]
    largest = (weight - to_levels(weight, plain[:, 0], INT6).float() * plain).pow(2)
    by_tensor, by_row = error("tensor", candidates), error("row", candidates)
    assert by_tensor.mean() <= largest.mean() * (1 + 1e-6)
    assert (by_row.sum(dim=1) <= largest.sum(dim=1) * (1 + 1e-6)).all()
    assert by_row.mean() <= by_tensor.mean() * (1 + 1e-6)


def test_the_clip_search_cuts_a_lone_outlier_off() -> None:
    weight = normal(1, 40_000)
    weight[0, 0] = 12.0
    values, scale = search(weight, INT6, QuantConfig(clip_candidates=15, clip_floor=0.0))
    assert float(scale) < 0.2 and int(values[0, 0]) == 31


def test_what_cannot_be_quantised_is_refused() -> None:
    with pytest.raises(QuantisationError, match="not known"):
        search(normal(2, 3), INT6, QuantConfig(clip_candidates=7))
    for choice in ("row", "tensor"):
        config = QuantConfig(clip_candidates=5, clip_choice="row" if choice == "row" else "tensor")
        with pytest.raises(QuantisationError, match="not finite"):
            search(torch.full((2, 3), torch.nan), INT6, config)
    with pytest.raises(QuantisationError, match="no integer levels"):
        levels("float16", QuantConfig())


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("tok_emb.weight", "embeddings"), ("lm_head.weight", "embeddings"), ("blocks.3.mlp.up_proj.weight", "mlp"),
        ("blocks.3.mlp.proj.weight", "mlp"), ("blocks.0.attn.c_q.weight", "attention"),
        ("bigram_emb.proj.weight", "attention"), ("bigram_emb.embed.weight", "other"), ("skip_weights", "other"),
    ],
)  # fmt: skip
def test_classes_by_name(name: str, part: str) -> None:
    assert part_of(name) == part


def test_what_is_kept_and_how() -> None:
    small, large = QuantConfig(keep_float_numel=10), QuantConfig(keep_float_numel=10, keep_names_of="large")

    def form(name: str, tensor: Tensor, config: QuantConfig) -> tuple[str, torch.dtype]:
        entry = quantise_one(name, tensor, config)
        return entry.form, entry.values.dtype

    assert form("blocks.0.attn_scale", torch.ones(10), small) == ("float32", torch.float32)
    assert form("blocks.0.attn_scale", torch.ones(11), small) == ("int8_row", torch.int8)
    assert form("blocks.0.attn_scale", torch.ones(10), large) == ("float16", torch.float16)
    assert form("blocks.0.attn_scale", torch.ones(11), large) == ("float32", torch.float32)
    assert form("blocks.0.attn.c_q.weight", torch.ones(2, 5).bfloat16(), small) == ("float16", torch.float16)
    assert form("blocks.0.attn.c_q.weight", torch.ones(2, 6), small) == ("int8_row", torch.int8)
    assert form("counts", torch.arange(99), small) == ("as_is", torch.int64)
    assert (
        form("tok_emb.weight", torch.ones(9, 9), QuantConfig(embeddings="float16", keep_float_numel=10))[0] == "float16"
    )


def test_weights_come_back_with_their_dtype_and_banks_apart() -> None:
    layers = {
        f"blocks.{i}.{kind}.weight": normal(8, 8, seed=i)
        for i in range(3)
        for kind in ("attn.c_q", "attn.c_k", "attn.c_v", "attn.proj", "mlp.up_proj", "mlp.down_proj")
    }
    state = {"tok_emb.weight": normal(16, 8).bfloat16(), **banked(layers, 3), "final": normal(3).bfloat16()}
    back = dequantise(quantise(state, QuantConfig(keep_float_numel=4)))
    assert set(back) == {"tok_emb.weight", "final", *layers}
    assert back["tok_emb.weight"].dtype == back["final"].dtype == torch.bfloat16
    assert all((back[name] - layers[name]).abs().max() < 0.02 for name in layers)
    assert list(unbank(state))[1:4] == [
        "blocks.0.attn.c_q.weight",
        "blocks.0.attn.proj.weight",
        "blocks.1.attn.c_q.weight",
    ]
    with pytest.raises(QuantisationError, match="whole layers"):
        unbank({"qo_bank": normal(3, 2, 2)})


def test_what_is_kept_is_a_copy() -> None:
    state = {"attn_scale": torch.ones(4), "counts": torch.zeros(3).int(), "double": torch.ones(2).double()}
    made = quantise(state, QuantConfig())
    for tensor in state.values():
        tensor += 5
    assert [float(entry.values[0]) for entry in made.tensors.values()] == [1, 0, 1]


@given(fraction=st.sampled_from([0.05, 0.15, 0.5, 0.999]), rows=st.integers(2, 30))
@settings(max_examples=20, deadline=None)
def test_the_pruned_fraction_is_exact(fraction: float, rows: int) -> None:
    weight = torch.randperm(rows * 50, generator=torch.Generator().manual_seed(rows)).reshape(rows, 50) / 7 + 1
    weight[::2] *= -1
    pruned = prune_smallest(weight, fraction, 10)
    expected = -(-round(fraction * (weight.numel() - 1) * 1e6) // 10**6)  # its ceiling, float noise aside
    assert abs(int((pruned == 0).sum()) - expected) <= 1
    kept = pruned != 0
    assert torch.equal(pruned[kept], weight[kept]) and weight[~kept].abs().max() <= weight[kept].abs().min()


def test_weights_at_the_threshold_stay() -> None:
    weight = torch.arange(1.0, 22.0).reshape(3, 7)
    assert int((prune_smallest(weight, 0.5, 10) == 0).sum()) == 10  # the eleventh of 21 is the threshold itself
    assert prune_smallest(torch.ones(4, 4), 0.5, 10).all()


def test_only_large_matrices_are_pruned() -> None:
    for tensor in (normal(4, 4), normal(200), torch.arange(400).reshape(20, 20)):
        assert prune_smallest(tensor, 0.5, 16) is tensor


def ones_state() -> Quantised:
    values = torch.tensor([[1, -1, 5], [1, 2, 0]], dtype=torch.int8)
    return Quantised({
        "a": QuantisedTensor(values, torch.tensor([0.5, 0.25]).half(), "int6_row", torch.float32),
        "b": QuantisedTensor(values, torch.tensor([0.1, 0.5]).half(), "int6_row", torch.float32),
        "rest": QuantisedTensor(values, torch.tensor([0.01, 0.01]).half(), "int8_row", torch.float32),
    })  # fmt: skip


def nonzero(q: Quantised) -> int:
    return sum(int(entry.values.count_nonzero()) for entry in q.tensors.values())


def test_selective_pruning_takes_the_fewest_and_the_least_important() -> None:
    state = ones_state()
    assert prune_ones(state, nonzero, 15).pruned == 0
    done = prune_ones(state, nonzero, 12)
    assert (done.pruned, done.candidates, done.bytes) == (3, 6, 12)
    assert done.quantised.tensors["b"].values.tolist() == [[0, 0, 5], [1, 2, 0]]  # smallest scales first
    assert done.quantised.tensors["a"].values.tolist() == [[1, -1, 5], [0, 2, 0]]
    assert torch.equal(done.quantised.tensors["rest"].values, state.tensors["rest"].values)
    assert state.tensors["b"].values[0, 0] == 1, "the weights given were changed"
    everything = prune_ones(state, nonzero, 3)
    assert (everything.pruned, everything.bytes) == (6, 9)


@pytest.mark.parametrize("bits", [8, 6, 5])
def test_the_gradient_of_fake_quantisation_is_straight_through(bits: int) -> None:
    weight = normal(6, 20, std=2.0).requires_grad_()
    seen = fake_quantise(weight, bits)
    factors = normal(6, 20, seed=1)
    [gradient] = torch.autograd.grad((seen * factors).sum(), weight)
    assert torch.equal(gradient, factors)
    assert torch.allclose(seen, rounded(weight, bits), atol=1e-6) and not torch.allclose(seen, weight, atol=1e-3)
    step = weight.detach().abs().amax(dim=1).clamp_min(1.0) / SPANS[bits].high
    assert ((seen - weight).abs() <= step[:, None] * 0.501).all()
    assert fake_quantise(weight, bits, torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize(("bits", "steps"), [(8, 127), (6, 31), (5, 15)])
def test_fake_quantisation_has_all_levels(bits: int, steps: int) -> None:
    weight = torch.linspace(-2, 2, 4 * steps + 1)[None]
    assert torch.unique(torch.round(rounded(weight, bits) * steps / 2)).tolist() == list(range(-steps, steps + 1))


def test_presets_say_how_their_scripts_quantise() -> None:
    quant = {name: load_preset(name).quant for name in ("gepa_644", "gepa_598", "int5_861", "recur_1406")}
    assert [q.matrices for q in quant.values()] == ["int6_row", "int6_row", "int5_row", "int6_row"]
    assert [q.embeddings for q in quant.values()] == ["int6_row", "int8_tensor", "int5_row", "int8_row"]
    assert [q.clip_candidates for q in quant.values()] == [15, 5, 0, 5]
    assert [q.int6_min for q in quant.values()][:2] == [-32, -32] and quant["recur_1406"].int6_min == -31
    assert quant["int5_861"].prune_fraction == 0.15 and quant["recur_1406"].gptq
    changed = load_preset("gepa_644", ["quant.keep_names=a,b", "clip_floor=0"]).quant
    assert changed.keep_names == ("a", "b") and changed.clip_floor == 0
    with pytest.raises(PresetError, match="keep_names"):
        load_preset("gepa_644", ["quant.keep_names=[1]"])
