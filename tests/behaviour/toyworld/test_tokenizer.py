"""The model bytes, held against the real SentencePiece library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece

from auditor.behaviour.toyworld import pieces, tokenizer
from auditor.behaviour.toyworld.spec import WorldSpec

SIZES = [260, 270, 512, 1024, 2048, 4096, 4608, 8192, 16384]
SMALL = [8, 32, 128, 256]


def load(model: bytes) -> Any:
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    return processor


def disagreements(processor: Any, size: int, kind: str) -> list[str]:
    """Where the library reads another vocabulary than the one that was to be written."""
    wrong = [] if processor.vocab_size() == size else [f"size {processor.vocab_size()}"]
    for index, (text, type_) in enumerate(tokenizer.piece_table(size, kind)[: processor.vocab_size()]):
        read = (
            processor.id_to_piece(index),
            processor.is_byte(index),
            processor.is_control(index),
            processor.is_unknown(index),
            processor.is_unused(index),
        )
        made = (text, type_ == tokenizer.BYTE, type_ == tokenizer.CONTROL, type_ == tokenizer.UNKNOWN, False)
        wrong += [] if read == made else [f"{index}: {read}"]
    return wrong


def scorer_tables(processor: Any) -> tuple[list[int], list[bool], list[bool]]:
    """The byte tables as the competition's scorer makes them from the library."""
    base, space, boundary = [], [], []
    for index in range(processor.vocab_size()):
        silent = processor.is_control(index) or processor.is_unknown(index) or processor.is_unused(index)
        text = processor.id_to_piece(index)
        plain = not silent and not processor.is_byte(index)
        base.append(0 if silent else len(text.removeprefix("▁").encode()) if plain else 1)
        space.append(plain and text.startswith("▁"))
        boundary.append(silent)
    return base, space, boundary


@pytest.mark.parametrize("size", SIZES + SMALL)
def test_the_library_reads_what_was_written(size: int) -> None:
    model, texts = tokenizer.build_model(size)
    processor = load(model)
    assert disagreements(processor, size, "bpe") == []
    assert len(set(texts)) == size
    assert (processor.pad_id(), processor.bos_id(), processor.eos_id(), processor.unk_id()) == (0, 1, 2, 3)


def test_a_wrong_type_or_text_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = list(tokenizer.piece_table(1024))
    entries[400] = ("planted", tokenizer.NORMAL)
    entries[500] = (entries[500][0], tokenizer.CONTROL)
    monkeypatch.setattr(tokenizer, "piece_table", lambda size, kind: tuple(entries))
    model = tokenizer._serialise.__wrapped__(1024, "bpe")
    monkeypatch.undo()
    assert [line.split(":")[0] for line in disagreements(load(model), 1024, "bpe")] == ["400", "500"]
    assert disagreements(load(model), 1025, "bpe")[0] == "size 1024"


@pytest.mark.parametrize("size", SIZES + SMALL)
def test_byte_tables_are_those_of_the_scorer(size: int) -> None:
    table = pieces.of(WorldSpec(vocab_size=size))
    base, space, boundary = scorer_tables(load(tokenizer.build_model(size)[0]))
    assert (table.base_bytes.tolist(), table.space.tolist(), table.boundary.tolist()) == (base, space, boundary)


def test_caseops_tables_differ_from_the_scorer_at_the_operators_only() -> None:
    spec = WorldSpec(vocab_size=8192, tokenizer="caseops")
    processor = load(tokenizer.build_model(8192, "caseops")[0])
    assert disagreements(processor, 8192, "caseops") == []
    base, _, boundary = scorer_tables(processor)
    table = pieces.of(spec)
    assert np.flatnonzero(table.base_bytes != base).tolist() == [4, 5, 6, 7]
    assert table.boundary.tolist() == boundary
    assert [processor.id_to_piece(index) for index in range(4, 9)] == [*tokenizer.OPERATORS, "<0x00>"]


@pytest.mark.parametrize("size", [1024, 8192])
def test_any_text_survives_encode_and_decode(size: int) -> None:
    processor = load(tokenizer.build_model(size)[0])
    for text in ("hello the world", "Ünïcode 中文 🙂 Ω", "a", "tab\tline\n", "1984, she said."):
        ids = processor.encode(text)
        assert processor.decode(ids) == text
        assert max(ids) < size
    assert processor.piece_to_id("▁") != processor.unk_id()


def test_an_encoder_reaches_most_pieces() -> None:
    processor = load(tokenizer.build_model(1024)[0])
    texts = [text for text, type_ in tokenizer.piece_table(1024) if type_ == tokenizer.NORMAL]
    reached = [text for text in texts if processor.encode("." + text.replace("▁", " "), out_type=str)[-1] == text]
    assert len(reached) > 0.95 * len(texts)


def test_pieces_are_of_all_lengths_with_and_without_space() -> None:
    texts = [text for text, type_ in tokenizer.piece_table(1024) if type_ == tokenizer.NORMAL]
    assert {len(text.removeprefix("▁")) for text in texts} == {0, 1, 2, 3, 4, 5, 6}
    assert 0.4 < np.mean([text.startswith("▁") for text in texts]) < 0.6
    assert {len(text.encode()) for text in texts if len(text) == 1} == {1, 2, 3, 4}


def test_raw_bytes_have_their_value_as_id() -> None:
    table = tokenizer.piece_table(256, "bytes")
    assert [text for text, _ in table][65] == "<0x41>"
    drawn = pieces.of(WorldSpec(vocab_size=256, tokenizer="bytes", bos_id=0)).drawable
    assert drawn.tolist() == list(range(0x20, 0x7F))
    model, texts = tokenizer.build_model(256, "bytes")
    assert (load(model).vocab_size(), len(texts)) == (260, 256)


def test_the_model_loads_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "toy.model"
    path.write_bytes(tokenizer.build_model(1024)[0])
    assert sentencepiece.SentencePieceProcessor(model_file=str(path)).vocab_size() == 1024


@pytest.mark.parametrize(("size", "kind"), [(7, "bpe"), (65537, "bpe"), (1024, "words")])
def test_what_cannot_be_built_is_refused(size: int, kind: str) -> None:
    with pytest.raises(ValueError, match="no toy tokenizer"):
        tokenizer.build_model(size, kind)
    with pytest.raises(ValueError, match="BOS"):
        pieces.of(WorldSpec(vocab_size=1024, bos_id=1024))
