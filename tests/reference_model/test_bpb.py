"""Bits per byte against a string counted by hand."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import sentencepiece
import torch

from auditor.behaviour.toyworld.tokenizer import build_model
from reference_model.data.tokens import ByteTable
from reference_model.evaluation.bpb import Tally


def test_a_string_by_hand() -> None:
    """<s> "t" "e" " " "é": 1 + 1 + 1 + 2 bytes; with a loss of ln 2 for each token that is 4 bits for 5 bytes."""
    model, _ = build_model(1024)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids = [1, *(pieces.piece_to_id(piece) for piece in ("t", "e", "\u2581", "é"))]
    tokens = torch.tensor(ids)
    tally = Tally()
    counted = ByteTable.of(pieces).count(tokens[:-1], tokens[1:])
    assert counted.tolist() == [1, 1, 1, 2]
    tally.add(torch.full((4,), math.log(2)), counted)
    found = tally.score()
    assert found.tokens == 4 and found.bytes == 5
    assert found.bpb == pytest.approx(0.8, abs=1e-7) and found.loss == pytest.approx(math.log(2), abs=1e-7)


def test_sums_are_float64() -> None:
    """A million losses of 0.1 after one of 2^24: float32 would add nothing at all."""
    tally = Tally()
    tally.add(torch.tensor([2.0**24]), torch.tensor([1]))
    for _ in range(100):
        tally.add(torch.full((10_000,), 0.1), torch.ones(10_000, dtype=torch.long))
    expected = 2.0**24 + 1_000_000 * float(torch.tensor(0.1))
    assert tally.score().loss * tally.score().tokens == pytest.approx(expected, rel=1e-12)


def test_only_what_is_scored_counts_even_beside_a_nan() -> None:
    tally = Tally()
    scored = torch.tensor([True, False])
    tally.add(torch.tensor([3.0, float("nan")]), torch.tensor([2, 50]), scored)
    found = tally.score()
    assert (found.loss, found.tokens, found.bytes) == (3.0, 1, 2)


def test_merged_is_added_at_once() -> None:
    whole, parts = Tally(), [Tally(), Tally()]
    for part, size in zip(parts, (3, 5), strict=True):
        losses, counted = torch.rand(size), torch.arange(size)
        part.add(losses, counted)
        whole.add(losses, counted)
    parts[0].merge(parts[1])
    assert parts[0].score() == whole.score()


def test_nothing_scored_has_no_score() -> None:
    with pytest.raises(ValueError, match="no bits per byte"):
        Tally().score()
    with pytest.raises(ValueError, match="one shape"):
        Tally().add(torch.zeros(2), torch.zeros(3))
