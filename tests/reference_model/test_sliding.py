"""The sliding window against a score that is computed token by token."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from reference_model.config import EvalConfig
from reference_model.data.tokens import ByteTable
from reference_model.evaluation.bpb import Score
from reference_model.evaluation.chunks import sliding_windows
from reference_model.evaluation.sliding import gather, sliding_score, sliding_tally, whole_stream_score

VOCAB = 17


class Recurrent(nn.Module):
    """A small model whose every output depends on all its context; its losses are in ``asked`` afterwards."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embedding = nn.Embedding(VOCAB, 8)
        self.rnn = nn.GRU(8, 8, batch_first=True)

    def hidden(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.rnn(self.embedding(tokens) * 5)[0]
        return found

    def head(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.embedding.weight) * 3

    def losses(self, tokens: Tensor, targets: Tensor) -> Tensor:
        logits = self.head(self.hidden(tokens))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)


class OnlyLosses:
    """A model that gives losses alone, as a compiled one does."""

    def __init__(self, model: Recurrent) -> None:
        self.model, self.training = model, True

    def losses(self, tokens: Tensor, targets: Tensor) -> Tensor:
        return self.model.losses(tokens, targets)

    def parameters(self) -> Iterator[Tensor]:
        return self.model.parameters()

    def train(self, mode: bool = True) -> object:
        return self.model.train(mode)


def table() -> ByteTable:
    base = torch.arange(VOCAB) % 4 + 1
    base[1] = 0
    return ByteTable(base, torch.arange(VOCAB) % 2 == 0, torch.arange(VOCAB) == 1)


def stream(total: int) -> Tensor:
    return torch.randint(0, VOCAB, (total + 1,), generator=torch.Generator().manual_seed(total))


def brute_force(model: Recurrent, tokens: Tensor, config: EvalConfig) -> Score:
    """Each target alone: its window is the one in which it is new, and all of that before the target is its context."""
    nats, counted, total = 0.0, 0, tokens.numel() - 1
    for position in range(total):
        late = max(position - config.seq_len, -1) + 1
        start = -(-late // config.stride) * config.stride
        with torch.no_grad():
            logits = model.head(model.hidden(tokens[None, start : position + 1]))[0, -1]
        nats -= float(F.log_softmax(logits.double(), dim=-1)[tokens[position + 1]])
        counted += int(table().count(tokens[position], tokens[position + 1]))
    return Score(nats / total, nats / math.log(2) / counted, total, counted)


@pytest.mark.parametrize(
    ("total", "seq_len", "stride"),
    [(40, 8, 3), (41, 8, 8), (7, 8, 3), (8, 8, 1), (9, 8, 8), (50, 16, 5), (33, 4, 1), (1, 8, 2)],
)
@pytest.mark.parametrize("form", [lambda model: model, OnlyLosses])
def test_equals_the_score_token_by_token(total: int, seq_len: int, stride: int, form: type) -> None:
    model, tokens = Recurrent(), stream(total)
    config = EvalConfig(seq_len=seq_len, stride=stride, batch_seqs=3)
    found, expected = sliding_score(form(model), tokens, table(), config), brute_force(model, tokens, config)
    assert (found.tokens, found.bytes) == (expected.tokens, expected.bytes)
    assert found.loss == pytest.approx(expected.loss, abs=1e-6) and found.bpb == pytest.approx(expected.bpb, abs=1e-6)


def test_the_comparison_notices_a_context_that_is_shorter() -> None:
    model, tokens = Recurrent(), stream(60)
    config = EvalConfig(seq_len=16, stride=4)
    wrong = sliding_score(model, tokens, table(), replace(config, seq_len=12))
    assert abs(wrong.loss - brute_force(model, tokens, config).loss) > 1e-5


@given(total=st.integers(1, 300), seq_len=st.integers(1, 40), share=st.integers(1, 40), ranks=st.integers(1, 4))
def test_every_token_is_scored_once_with_context(total: int, seq_len: int, share: int, ranks: int) -> None:
    stride = min(share, seq_len)
    windows = sliding_windows(total, seq_len, stride)
    inputs, targets, scored = gather(torch.arange(total + 1), windows, seq_len)
    assert sorted(targets[scored].tolist()) == list(range(1, total + 1))
    assert torch.equal(inputs[scored] + 1, targets[scored])
    context = torch.arange(seq_len).expand_as(scored)[scored] + 1
    full = torch.minimum(targets[scored], torch.tensor(seq_len - stride + 1))
    assert bool((context >= full).all())


@settings(deadline=None, max_examples=20)
@given(total=st.integers(1, 120), seq_len=st.integers(2, 20), share=st.integers(1, 20), world=st.integers(1, 5))
def test_ranks_together_score_what_one_scores(total: int, seq_len: int, share: int, world: int) -> None:
    model, tokens = Recurrent(), stream(total)
    config = EvalConfig(seq_len=seq_len, stride=min(share, seq_len), batch_seqs=4)
    parts = [sliding_tally(model, tokens, table(), config, rank=rank, world_size=world) for rank in range(world)]
    for part in parts[1:]:
        parts[0].merge(part)
    whole = sliding_score(model, tokens, table(), config)
    found = parts[0].score()
    assert (found.tokens, found.bytes) == (whole.tokens, whole.bytes)
    assert found.loss == pytest.approx(whole.loss, abs=1e-6)


def test_repeated_tail_scores_the_last_stride_once_for_each_window_that_reaches_it() -> None:
    windows = sliding_windows(32, 8, 2, repeat_tail=True)
    _, targets, scored = gather(torch.arange(33), windows, 8)
    times = torch.bincount(targets[scored], minlength=33)[1:]
    assert times.tolist() == [1] * 30 + [4, 4]


def test_whole_stream_is_the_mean_over_sequences_that_do_not_overlap() -> None:
    model, tokens = Recurrent(), stream(33)
    config = EvalConfig(seq_len=8, stride=1, batch_seqs=3)
    found = whole_stream_score(model, tokens, table(), config)
    with torch.no_grad():
        parts = [
            model.losses(tokens[None, at : at + 8][:, : 33 - at], tokens[None, at + 1 : at + 9])
            for at in range(0, 33, 8)
        ]
    assert found.tokens == 33
    assert found.loss == pytest.approx(float(torch.cat(parts, 1).double().mean()), abs=1e-6)


def test_mode_and_gradients_are_left_as_they_were_and_progress_is_told() -> None:
    model, told = Recurrent(), list[tuple[int, int]]()
    for mode in (True, False):
        model.train(mode)
        told.clear()
        config = EvalConfig(seq_len=8, stride=4, batch_seqs=2)
        sliding_score(model, stream(30), table(), config, lambda *seen: told.append(seen))
        assert model.training is mode and torch.is_grad_enabled()
        assert told[-1] == (7, 7) and len(told) == 4


def test_a_stride_longer_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError):
        sliding_score(Recurrent(), stream(30), table(), EvalConfig(seq_len=8, stride=9))


def test_ranks_without_a_process_group_are_refused() -> None:
    with pytest.raises(ValueError, match="process group"):
        sliding_score(Recurrent(), stream(30), table(), EvalConfig(seq_len=8, stride=4), rank=0, world_size=2)


def one_of_two(rank: int, folder: str) -> None:
    """One process: scores with the other, and writes what it got."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    config = EvalConfig(seq_len=8, stride=3, batch_seqs=4)
    found = sliding_score(Recurrent(), stream(61), table(), config, rank=rank, world_size=2)
    Path(folder, f"{rank}.json").write_text(json.dumps(asdict(found)))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_score_what_one_does(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(one_of_two, args=(str(tmp_path),), nprocs=2)  # type: ignore[attr-defined, no-untyped-call]
    both = [Score(**json.loads((tmp_path / f"{rank}.json").read_text())) for rank in (0, 1)]
    alone = sliding_score(Recurrent(), stream(61), table(), EvalConfig(seq_len=8, stride=3, batch_seqs=4))
    assert both[0] == both[1]
    assert (both[0].tokens, both[0].bytes) == (alone.tokens, alone.bytes)
    assert both[0].loss == pytest.approx(alone.loss, abs=1e-7) and both[0].bpb == pytest.approx(alone.bpb, abs=1e-7)
