"""Score-first test-time training: the score comes first, nothing later is seen, nothing stays behind."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.config import EvalConfig, Layout, ModelConfig, TttConfig
from reference_model.data.tokens import ByteTable
from reference_model.evaluation import ttt as ttt_module
from reference_model.evaluation.bpb import Score, Tally
from reference_model.evaluation.sliding import sliding_score
from reference_model.evaluation.trace import Event, Trace, trained_before_scored
from reference_model.evaluation.ttt import score_first_ttt
from reference_model.evaluation.ttt_lora import Adapters, logits_with
from reference_model.evaluation.ttt_updates import epochs_of, lr_factor, trainable
from reference_model.model.init import build

VOCAB, WIDTH = 32, 16
EVAL = EvalConfig(seq_len=16, stride=4, batch_seqs=5)
KINDS = {
    "sgd": TttConfig(kind="sgd", lr=0.1, epochs=2, chunk_tokens=64, batch_seqs=2),
    "adamw": TttConfig(kind="adamw", lr=0.02, epochs=1, chunk_tokens=64, batch_seqs=3, mlp_only=True, weight_decay=0.1),
    "lora": TttConfig(kind="lora", lr=0.02, epochs=1, chunk_tokens=8, lora_rank=2),
    "muon": TttConfig(kind="muon", lr=0.02, chunk_tokens=64, batch_seqs=4, entropy_epochs=(2, 3, 4), entropy_low=3.3,
                      entropy_high=3.5),
}  # fmt: skip
each_kind = pytest.mark.parametrize("kind", KINDS)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c_q, self.c_v = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.c_q(x) @ x.mT / math.sqrt(WIDTH)
        later = torch.ones(x.size(1), x.size(1), dtype=torch.bool).triu(1)
        out: Tensor = scores.masked_fill(later, -math.inf).softmax(-1) @ self.c_v(x)
        return out


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = Attention()
        self.mlp = nn.ModuleDict(
            {"up_proj": nn.Linear(WIDTH, WIDTH, bias=False), "down_proj": nn.Linear(WIDTH, WIDTH, bias=False)}
        )
        self.mlp_scale = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        out: Tensor = x + self.mlp_scale * self.mlp["down_proj"](F.relu(self.mlp["up_proj"](x)))
        return out


class Tiny(nn.Module):
    """A causal model with the names that test-time training asks for."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tok_emb = nn.Embedding(VOCAB, WIDTH)
        self.blocks = nn.ModuleList([Block(), Block()])

    def hidden(self, tokens: Tensor) -> Tensor:
        x: Tensor = self.tok_emb(tokens)
        for block in self.blocks:
            x = block(x)
        return x

    def head(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.tok_emb.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.hidden(tokens))

    def losses(self, tokens: Tensor, targets: Tensor) -> Tensor:
        logits = self(tokens)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)


@pytest.fixture
def model() -> Tiny:
    return Tiny()


def stream(length: int = 300) -> Tensor:
    """Tokens with a habit that can be learned, and a document of its own about every 50."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(2, VOCAB, (length,), generator=generator)
    tokens[1::2] = 2 + (tokens[::2][: tokens[1::2].numel()] * 3) % (VOCAB - 2)
    tokens[::50] = 1
    return tokens


def table() -> ByteTable:
    boundary = torch.arange(VOCAB) == 1
    return ByteTable((torch.arange(VOCAB) % 5 + 1) * ~boundary, torch.arange(VOCAB) % 3 == 0, boundary)


def score(model: Tiny, tokens: Tensor, ttt: TttConfig, trace: Trace | None = None) -> Score:
    return score_first_ttt(model, tokens, table(), ttt, EVAL, trace=trace)  # type: ignore[arg-type]


def traced(model: Tiny, tokens: Tensor, ttt: TttConfig) -> tuple[Score, Trace]:
    trace = Trace.of(tokens)
    return score(model, tokens, ttt, trace), trace


@each_kind
def test_learning_rate_zero_is_no_training(model: Tiny, kind: str) -> None:
    tokens = stream()
    plain, still = traced(model, tokens, replace(KINDS[kind], lr=0.0))
    if kind == "lora":  # no chunk of a document is trained on: the same windows, no step
        without, untrained = traced(model, tokens, replace(KINDS[kind], epochs=0))
    else:
        without, untrained = traced(model, tokens, replace(KINDS[kind], kind="none"))
        assert without.bpb == pytest.approx(sliding_score(model, tokens, table(), EVAL).bpb, abs=1e-6)
    assert plain == without
    assert torch.equal(still.losses, untrained.losses)
    assert any(e.kind == "train" for e in still.events)


@each_kind
def test_training_helps_and_leaves_nothing_behind(model: Tiny, kind: str) -> None:
    before = {name: p.clone() for name, p in model.named_parameters()}
    dict(model.named_parameters())["blocks.0.attn.c_q.weight"].requires_grad_(False)
    trained, untrained = score(model, stream(), KINDS[kind]), score(model, stream(), replace(KINDS[kind], lr=0.0))
    assert trained.bpb < untrained.bpb
    assert (trained.tokens, trained.bytes) == (untrained.tokens, untrained.bytes)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["blocks.0.attn.c_q.weight"]
    assert model.training and all(p.grad is None for p in model.parameters())


@each_kind
@pytest.mark.parametrize("cut", [65, 130, 250])
def test_later_tokens_change_no_earlier_score(model: Tiny, kind: str, cut: int) -> None:
    tokens = stream()
    changed = tokens.clone()
    changed[cut:] = torch.where(tokens[cut:] == 1, 1, 2 + (tokens[cut:] + 7) % (VOCAB - 2))
    first, second = traced(model, tokens, KINDS[kind])[1], traced(model, changed, KINDS[kind])[1]
    assert torch.equal(first.losses[: cut - 1], second.losses[: cut - 1])
    assert not torch.equal(first.losses[cut - 1 :], second.losses[cut - 1 :])


@each_kind
def test_every_position_is_scored_once_and_before_it_is_trained_on(model: Tiny, kind: str) -> None:
    tokens = stream()
    result, trace = traced(model, tokens, KINDS[kind])
    scored = [p for e in trace.events if e.kind == "score" for p in range(e.start, e.end)]
    assert scored == list(range(tokens.numel() - 1))
    assert not trained_before_scored(trace.events)
    assert result.loss == pytest.approx(float(trace.losses.double().mean()), abs=1e-12)
    trained = {p for e in trace.events if e.kind == "train" for p in range(e.start, e.end)}
    assert trained and tokens.numel() - 2 not in trained


def test_a_variant_that_trains_first_is_noticed(model: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, honest = stream(), ttt_module._score
    ttt = KINDS["sgd"]

    def train_first(*args: object) -> Tally:
        of_model, of_tokens, _, chunk, ev, trace = args
        parameters = trainable(of_model, ttt)  # type: ignore[arg-type]
        optimizer = torch.optim.SGD(parameters, lr=ttt.lr)
        ttt_module._train(of_model, of_tokens, chunk, 1, optimizer, parameters, ttt, ev, trace)  # type: ignore[arg-type]
        return honest(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(ttt_module, "_score", train_first)
    assert trained_before_scored(traced(model, tokens, ttt)[1].events)
    changed = tokens.clone()
    changed[60:64] = 2
    losses = [traced(model, each, ttt)[1].losses[:50] for each in (tokens, changed)]
    assert not torch.equal(*losses)


def test_frozen_blocks_and_all_but_mlps_stay(model: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed_by(ttt: TttConfig) -> set[str]:
        before = {name: p.clone() for name, p in model.named_parameters()}
        moved: set[str] = set()
        monkeypatch.setattr(ttt_module, "restore", lambda weights: moved.update(
            n for n, p in model.named_parameters() if not torch.equal(p, before[n])))  # fmt: skip
        score(model, stream(), ttt)
        return moved

    everything = {name for name, _ in model.named_parameters()}
    assert changed_by(KINDS["sgd"]) == everything
    assert changed_by(replace(KINDS["sgd"], freeze_blocks=1)) == {n for n in everything if "blocks.0." not in n}
    assert changed_by(KINDS["adamw"]) == {n for n in everything if "mlp" in n}


def test_one_block_frozen_is_not_ten() -> None:
    names = nn.ModuleDict({"blocks": nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in range(11))})
    chosen = trainable(names, TttConfig(freeze_blocks=1))
    assert len(chosen) == 10 and not names["blocks"][0].weight.requires_grad  # type: ignore[index]


def test_adapters_begin_anew_with_each_document(model: Tiny) -> None:
    tokens = stream()
    changed = tokens.clone()
    changed[60:95] = 2 + (tokens[60:95] + 7) % (VOCAB - 2)
    first, second = traced(model, tokens, KINDS["lora"])[1], traced(model, changed, KINDS["lora"])[1]
    assert not torch.equal(first.losses[50:99], second.losses[50:99])
    assert torch.equal(first.losses[100:], second.losses[100:])


def test_epochs_follow_the_chunks_own_loss() -> None:
    def epochs(loss: float, ttt: TttConfig = KINDS["muon"]) -> int:
        tally = Tally()
        tally.add(torch.full((4,), loss), torch.ones(4, dtype=torch.long))
        return epochs_of(tally, ttt)

    assert [epochs(loss) for loss in (3.2, 3.4, 3.6)] == [2, 3, 4]
    assert epochs(9.0, TttConfig(epochs=5)) == 5


def test_learning_rate_over_the_chunks() -> None:
    plain = [lr_factor(i, 5, TttConfig()) for i in range(5)]
    assert plain == pytest.approx([1.0, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0.0])
    warm = [lr_factor(i, 40, TttConfig(warmup_fraction=0.05)) for i in range(40)]
    assert warm[:3] == [0.5, 1.0, 1.0] and warm[-1] == 0.0
    assert lr_factor(3, 5, TttConfig(cosine=False)) == 1.0
    assert lr_factor(0, 1, TttConfig()) == 1.0


def test_order_of_events_tells_what_was_early() -> None:
    early = Event("train", 0, 0, 8, 1)
    assert trained_before_scored([Event("score", 0, 0, 4), early, Event("score", 0, 4, 8)]) == [early]
    assert not trained_before_scored([Event("score", 0, 0, 8), early])


@pytest.mark.parametrize("layout", ["plain", "banked"])
def test_adapters_reach_the_attention_of_the_model(layout: Layout) -> None:
    config = ModelConfig(
        vocab_size=VOCAB, num_layers=2, model_dim=16, num_heads=2, num_kv_heads=1, mlp_hidden=24, layout=layout
    )
    model = build(config, 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    before, tokens = model.state_dict(), stream(20)[None]
    adapters = Adapters(model, 2, seed=0)
    assert torch.equal(logits_with(model, adapters.adapted(), tokens), model(tokens))
    for up in adapters.up.values():
        up.data.fill_(0.3)
    found = logits_with(model, adapters.adapted(), tokens)
    assert (found - model(tokens)).abs().max() > 0.01
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    changed = build(config, 0)
    changed.load_state_dict(before | {name: weight.detach() for name, weight in adapters.adapted().items()})
    assert torch.allclose(found, changed(tokens), atol=1e-6)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert all(bool(up.grad.abs().sum() > 0) for up in adapters.up.values() if up.grad is not None)
    assert all(up.grad is not None for up in adapters.up.values())
