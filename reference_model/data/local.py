"""Real English text that every Python has: the topics of ``pydoc`` and the docstrings of the standard library.

Nothing is shipped and nothing is downloaded. The text depends on the Python version, and on nothing else.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import io
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .folder import DataFolder, find_data
from .shards import DataError, Tokens, write_shard

BOS_ID = 1
SMALLEST = 300
"""Pieces: four specials, 256 bytes, and some."""
SHORTEST = 400
"""Characters; a shorter text is no document."""
LEFT_OUT = frozenset({"test", "tests", "idlelib", "site-packages", "dist-packages", "lib2to3", "turtledemo"})
"""Folders of the library: tests, and what not every Python has."""
VAL_SHARE = 10
"""One document in so many is for validation."""
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LocalData:
    """What `write_local` has written."""

    data: DataFolder
    documents: int
    train_tokens: int
    val_tokens: int
    val_bytes: int
    """Bytes of the validation text, after the tokenizer's normalisation."""


def write_local(out: Path, vocab_size: int = 1024, on_progress: Told | None = None) -> LocalData:
    """Write shards and a tokenizer of ``vocab_size`` pieces below ``out``, in the layout of `find_data`.

    The files are the same to the bit each time on the same Python. Raises `DataError` for a vocabulary that the text
    cannot fill, and OSError where ``out`` cannot be written.
    """
    if not SMALLEST <= vocab_size <= 65_536:
        raise DataError(f"a tokenizer of this text has from {SMALLEST} to 65,536 pieces, not {vocab_size:,}")
    tell = on_progress or (lambda text: None)
    tell("reading the standard library's documentation")
    texts = documents()
    val, train = texts[::VAL_SHARE], [text for index, text in enumerate(texts) if index % VAL_SHARE]
    tell(f"training a tokenizer of {vocab_size:,} pieces on {sum(map(len, train)):,} characters")
    model = train_tokenizer(train, vocab_size)
    tokenizers, folder = out / "tokenizers", out / "datasets" / f"local_sp{vocab_size}"
    for path in (tokenizers, folder):
        path.mkdir(parents=True, exist_ok=True)
    (tokenizers / f"local_{vocab_size}_bpe.model").write_bytes(model)
    tell(f"encoding {len(texts):,} documents")
    pieces = _processor(model)
    streams = {split: encode(pieces, part) for split, part in (("train", train), ("val", val))}
    for split, tokens in streams.items():
        write_shard(folder / f"fineweb_{split}_000000.bin", tokens)
    val_bytes = sum(len(pieces.decode(ids).encode()) for ids in pieces.encode(val))
    sizes = streams["train"].size, streams["val"].size
    return LocalData(find_data(out, vocab_size), len(texts), *sizes, val_bytes)


def documents() -> list[str]:
    """All texts, in an order that looks random and is always the same: that of their SHA-256."""
    found = {text for text in (*_topics(), *_docstrings()) if len(text) >= SHORTEST}
    return sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())


def _topics() -> Iterator[str]:
    """The language reference, as ``help()`` has it, one topic a text."""
    from pydoc_data.topics import topics

    yield from topics.values()


def _docstrings() -> Iterator[str]:
    """The docstrings of each module of the library, one text for each; sources are parsed and nothing is imported."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        if LEFT_OUT.isdisjoint(path.relative_to(library).parts):
            yield "\n\n".join(_docstrings_of(path))


def _docstrings_of(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield inspect.cleandoc(text)


def train_tokenizer(texts: Sequence[str], vocab_size: int) -> bytes:
    """A SentencePiece BPE model with the competition's settings, by one thread so that it is always the same.

    ``<pad>``, ``<s>``, ``</s>`` and ``<unk>`` are 0 to 3, then the 256 bytes. Raises `DataError`.
    """
    import sentencepiece

    lines = (line.strip() for text in texts for line in text.split("\n\n"))
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(line for line in lines if line), model_writer=written, model_type="bpe",
            vocab_size=vocab_size, character_coverage=0.999, byte_fallback=True, split_digits=True,
            normalization_rule_name="nmt_nfkc", add_dummy_prefix=False, pad_id=0, bos_id=BOS_ID, eos_id=2, unk_id=3,
            max_sentence_length=1 << 20, num_threads=1, minloglevel=2,
        )  # fmt: skip
    except RuntimeError as error:
        raise DataError(f"no tokenizer of {vocab_size:,} pieces can be made of this text") from error
    return written.getvalue()


def encode(pieces: Any, texts: Sequence[str]) -> Tokens:
    """The stream of ``texts``, uint16 [n], a BOS before each."""
    ids = [[BOS_ID, *document] for document in pieces.encode(list(texts))]
    return np.concatenate([np.array(document, dtype=np.uint16) for document in ids])


def _processor(model: bytes) -> Any:
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_proto=model)
