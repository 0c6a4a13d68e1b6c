"""The network: what its parts must compute, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F

from reference_model.config import ModelConfig, PresetError, load_preset, preset_names
from reference_model.model import GPT, BankedLinear, Linear, build, embeddings, set_fake_quant
from reference_model.model.attention import attend, without_own_value
from reference_model.model.rotary import rotate, rotation
from tests.reference_model.toys import shaken, some_tokens, toy

PRESETS = preset_names()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_token_changes_nothing_before_it(preset: str) -> None:
    model, at = shaken(toy(preset)), 11
    tokens = some_tokens(model.config)
    other = tokens.clone()
    other[:, at] = (other[:, at] + 1) % model.config.vocab_size
    with torch.inference_mode():
        before, after = model(tokens), model(other)
    assert torch.equal(before[:, :at], after[:, :at])
    assert (before[:, at:] - after[:, at:]).abs().amax((0, 2)).min() > 1e-4


def by_hand(c: ModelConfig) -> int:
    """Parameters, counted from the settings alone."""
    head = c.model_dim // c.num_heads
    kv = c.num_kv_heads * head
    mlp = (3 if c.mlp == "swiglu" else 2) * c.model_dim * c.mlp_hidden
    mlp += 2 * c.mlp_hidden * (c.mlp_affine or c.mlp == "star_relu")
    block = 2 * c.model_dim**2 + 2 * kv * c.model_dim + c.num_heads + mlp + 4 * c.model_dim
    total = c.num_layers * block + c.vocab_size * c.model_dim * (1 if c.tie_embeddings else 2)
    total += (c.num_layers // 2) * c.model_dim * {"none": 0, "plain": 1, "gated": 2}[c.skips]
    if c.bigram_buckets:
        projects = c.bigram_project_always or c.bigram_dim != c.model_dim
        total += c.bigram_buckets * c.bigram_dim + projects * c.bigram_dim * c.model_dim
        total += c.bigram_scale_init is not None
    if c.ve_layers:
        total += c.vocab_size * c.ve_dim + (c.ve_dim != kv) * c.ve_dim * kv + 1 + len(c.ve_layers)
    return total + c.smear_gate * c.model_dim


def count(config: ModelConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in GPT(config).parameters())


@pytest.mark.parametrize("preset", PRESETS)
def test_parameters_by_hand_and_as_claimed(preset: str) -> None:
    chosen = load_preset(preset)
    assert count(chosen.model) == by_hand(chosen.model)
    assert count(chosen.model) == chosen.claimed.get("parameters", count(chosen.model))


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("gepa_644", 27_030_107), ("gepa_598", 27_030_108), ("recur_1406", 26_928_220), ("muon_ttt_1406", 26_928_220),
     ("selfgen_1406", 27_067_484)],
)  # fmt: skip
def test_published_parameter_counts(preset: str, parameters: int) -> None:
    assert count(load_preset(preset).model) == parameters


@pytest.mark.parametrize("kind", ["swiglu", "relu2"])
def test_untied_and_without_extras(kind: str) -> None:
    config = ModelConfig(64, 3, 16, 2, 1, mlp=kind, mlp_hidden=24, tie_embeddings=False, skips="none")  # type: ignore[arg-type]
    model = shaken(config)
    assert sum(p.numel() for p in model.parameters()) == by_hand(config)
    assert model(some_tokens(config)).shape == (2, 24, 64)


def test_exclusive_attention_is_orthogonal_to_the_own_value() -> None:
    generator = torch.Generator().manual_seed(3)
    y, v = torch.randn(2, 5, 6, 4, generator=generator), torch.randn(2, 5, 2, 4, generator=generator)
    out = without_own_value(y, v)
    own = v.repeat_interleave(3, dim=2)
    assert (out * own).sum(-1).abs().max() < 1e-5
    along = (y * own).sum(-1, keepdim=True) / own.square().sum(-1, keepdim=True) * own
    assert torch.allclose(out + along, y, atol=1e-5)


def test_attention_of_groups_is_that_of_repeated_heads() -> None:
    generator = torch.Generator().manual_seed(4)
    q, k = torch.randn(2, 7, 6, 4, generator=generator), torch.randn(2, 7, 2, 4, generator=generator)
    v = torch.randn(2, 7, 2, 4, generator=generator)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k.repeat_interleave(3, 2)) / math.sqrt(4)
    hidden = torch.ones(7, 7, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(hidden, -math.inf).softmax(-1)
    wanted = torch.einsum("bhqk,bkhd->bqhd", weights, v.repeat_interleave(3, 2))
    assert torch.allclose(attend(q, k, v), wanted, atol=1e-5)


def test_rotation_leaves_the_other_dimensions_and_depends_on_distance() -> None:
    generator = torch.Generator().manual_seed(5)
    q, k = (torch.randn(1, 1, 1, 12, generator=generator).expand(1, 9, 1, 12) for _ in range(2))
    angles = rotation(9, 8, 10_000.0, 0, torch.device("cpu"))
    turned, other = rotate(q, angles), rotate(k, angles)
    assert torch.equal(turned[..., 8:], q[..., 8:])
    assert torch.equal(turned[:, 0], q[:, 0])
    assert (turned[:, 1:, :, :8] - q[:, 1:, :, :8]).abs().min() > 0
    products = torch.einsum("bqhd,bkhd->qk", turned, other)
    assert torch.allclose(products.diagonal(2), products[0, 2].expand(7), atol=1e-4)
    assert torch.allclose(turned.norm(dim=-1), q.norm(dim=-1), atol=1e-5)


def test_the_base_grows_beyond_the_training_length() -> None:
    cpu = torch.device("cpu")
    short, same = rotation(16, 8, 10_000.0, 16, cpu), rotation(16, 8, 10_000.0, 0, cpu)
    assert torch.equal(short[0], same[0])
    longer = rotation(32, 8, 10_000.0, 16, cpu)
    by_hand = torch.arange(32.0)[:, None] / (10_000.0 * 2 ** (8 / 6)) ** (torch.arange(0, 8, 2) / 8)
    assert torch.allclose(longer[1], by_hand.sin(), atol=1e-5)


def test_the_smear_does_not_cross_a_bos() -> None:
    plain = replace(toy("gepa_598"), bigram_buckets=0)
    tokens = some_tokens(plain)
    tokens[tokens == plain.bos_id] = 5
    tokens[:, 9] = plain.bos_id
    other = tokens.clone()
    other[:, 8] = (other[:, 8] + 3) % 7 + 20
    crossing, stopping = (shaken(replace(plain, smear_documents=on)) for on in (False, True))
    apart = (crossing.embedded(tokens) - crossing.embedded(other))[:, 9]
    assert apart.abs().max() > 1e-3
    assert torch.equal(stopping.embedded(tokens)[:, 9:], stopping.embedded(other)[:, 9:])
    assert torch.equal(stopping.embedded(tokens)[:, :8], crossing.embedded(tokens)[:, :8])


def test_smear_by_hand() -> None:
    config = ModelConfig(smear_gate=True, model_dim=4)
    gate = embeddings.SmearGate(config)
    x = torch.arange(8.0).view(1, 2, 4)
    with torch.no_grad():
        gate.gate.fill_(math.log(3))  # sigmoid: 3/4
    assert torch.allclose(gate(x, torch.zeros(1, 2)), torch.stack((x[:, 0] / 4, x[:, 1] / 4 + x[:, 0] * 3 / 4), 1))


@pytest.mark.parametrize(
    ("kind", "buckets"), [("xor", [99, (36313 * 5 ^ 27191 * 3) % 99]), ("linear", [3, (1009 * 3 + 5) % 100])]
)
def test_bigram_buckets_by_hand(kind: str, buckets: list[int]) -> None:
    assert embeddings.bigram_buckets(torch.tensor([[3, 5]]), 100, kind).tolist() == [buckets]


def test_layers_that_run_twice_are_run_after_the_last() -> None:
    config = replace(toy("recur_1406"), layout="plain")
    twice = shaken(config)
    once = GPT(replace(config, recur_layers=())).eval()
    once.load_state_dict(twice.state_dict())
    tokens, seen = some_tokens(config), []
    hooks = [block.register_forward_hook(lambda m, given, out, i=i: seen.append((i, given, out)))
             for i, block in enumerate(once.blocks)]  # fmt: skip
    once(tokens)
    assert [i for i, _, _ in seen] == list(range(config.num_layers))
    for hook in hooks:
        hook.remove()
    x, values = seen[-1][2], once.value_embeddings(tokens)
    for layer in config.recur_layers:
        x = once.blocks[layer](x, *seen[-1][1][1:3], values.get(layer))
    wanted = once.head(F.rms_norm(x, (config.model_dim,)))
    assert torch.allclose(twice(tokens), wanted, atol=1e-6)
    assert (twice(tokens) - once(tokens)).abs().max() > 1e-3


def test_gradients_reach_every_parameter() -> None:
    for preset in PRESETS:
        model = shaken(toy(preset))
        tokens = some_tokens(model.config)
        model.losses(tokens[:, :-1], tokens[:, 1:]).mean().backward()  # type: ignore[no-untyped-call]
        assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_losses_are_those_of_the_logits() -> None:
    model = shaken(toy("gepa_644"))
    tokens = some_tokens(model.config)
    x, y = tokens[:, :-1], tokens[:, 1:]
    wanted = -model(x).double().log_softmax(-1).gather(-1, y.unsqueeze(-1)).squeeze(-1)
    assert torch.allclose(model.losses(x, y).double(), wanted, atol=1e-5)
    assert model.losses(x, y).dtype == torch.float32


def test_first_weights() -> None:
    config = replace(toy("gepa_598"), model_dim=64, num_heads=1, num_kv_heads=1, ve_dim=128, bigram_dim=128)
    model = build(config, 7)
    first = model.state_dict()
    q, proj = first["blocks.0.attn.c_q.weight"], first["bigram_emb.proj.weight"]
    assert torch.allclose(q @ q.T, torch.eye(64), atol=1e-5)
    assert torch.allclose(proj @ proj.T, torch.eye(64) / (2 * config.num_layers), atol=1e-5)
    for name in ("blocks.3.attn.proj.weight", "blocks.3.mlp.down_proj.weight", "bigram_emb.embed.weight"):
        assert not first[name].any()
    assert abs(model.tok_emb.weight.std().item() / config.tied_embed_init_std - 1) < 0.05
    same, other = build(config, 7), build(config, 8)
    assert torch.equal(same.tok_emb.weight, model.tok_emb.weight)
    assert not torch.equal(other.tok_emb.weight, model.tok_emb.weight)


def test_banks_begin_as_single_matrices_do() -> None:
    model = build(toy("recur_1406"), 1)
    layers = model.config.num_layers
    q = model.get_parameter("qo_bank")[0]
    assert torch.allclose(q @ q.T, torch.eye(len(q)), atol=1e-5)
    assert not model.get_parameter("qo_bank")[layers:].any() and not model.get_parameter("mlp_down_bank").any()


def test_fake_quantisation_reaches_matrices_in_training_alone() -> None:
    model = shaken(toy("muon_ttt_1406"))
    tokens, before = some_tokens(model.config), model(some_tokens(model.config))
    matrices = sum(isinstance(m, Linear) for m in model.modules())
    assert set_fake_quant(model, torch.zeros_like) == matrices > 0
    assert torch.equal(model(tokens), before)
    assert not torch.equal(model.train()(tokens), before)
    assert set_fake_quant(model, None, banks=True) == matrices + sum(
        isinstance(m, BankedLinear) for m in model.modules()
    )
    assert torch.equal(model(tokens), before)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"num_heads": 7}, "num_heads 7"),
        ({"num_kv_heads": 3}, "num_kv_heads 3"),
        ({"rope_dims": 1000}, "rope_dims 1000"),
        ({"recur_layers": (4, 99)}, "layer 99"),
        ({"model_dim": 0}, "model_dim"),
        ({"bigram_buckets": 1}, "bigram_buckets"),
    ],
)
def test_settings_that_do_not_fit(changed: dict[str, object], says: str) -> None:
    with pytest.raises(PresetError, match=says):
        GPT(replace(toy("recur_1406"), **changed))  # type: ignore[arg-type]
