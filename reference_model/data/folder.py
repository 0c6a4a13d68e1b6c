"""Finds shards and tokenizer below a folder, in the competition's layout or all in one place.

The layout is ``datasets/NAME_sp1024/fineweb_train_000000.bin`` (and ``_val_``) and ``tokenizers/NAME_1024_bpe.model``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from .shards import DataError, read_tokens
from .tokens import ByteTable, load_table, load_tokenizer

TRAIN, VAL = "*_train_*.bin", "*_val_*.bin"


@dataclass(frozen=True, slots=True)
class DataFolder:
    """One dataset: its shards in order, and its tokenizer."""

    folder: Path
    train: tuple[Path, ...]
    val: tuple[Path, ...]
    tokenizer: Path
    vocab_size: int

    def val_tokens(self) -> Tensor:
        """The validation stream, int64 [n]. Raises `DataError`, also for an id that the tokenizer does not have."""
        tokens = read_tokens(self.val)
        if tokens.numel() and int(tokens.max()) >= self.vocab_size:
            raise DataError(
                f"the validation shards hold the token {int(tokens.max())}, and {self.tokenizer.name} has "
                f"{self.vocab_size:,} pieces"
            )
        return tokens

    def byte_table(self) -> ByteTable:
        """Bytes of each token. Raises `DataError`."""
        return load_table(self.tokenizer, self.vocab_size)


def find_data(root: Path, vocab_size: int) -> DataFolder:
    """The dataset of a vocabulary of ``vocab_size`` in ``root``.

    Raises `DataError` where there is none, or more than one that fits.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder")
    tokenizer = _tokenizer(root, vocab_size)
    folders = [folder for folder in _folders(root) if any(folder.glob(VAL))]
    named = [folder for folder in folders if folder.name.endswith(f"sp{vocab_size}")]
    fitting = named or [folder for folder in folders if folder == root or len(folders) == 1]
    if not fitting:
        raise DataError(f"{root} has no validation shards ({VAL}) for a vocabulary of {vocab_size:,}")
    if len(fitting) > 1:
        raise DataError(f"{root} has several datasets: {', '.join(folder.name for folder in fitting)}; name one")
    shards = [tuple(sorted(fitting[0].glob(pattern))) for pattern in (TRAIN, VAL)]
    return DataFolder(fitting[0], shards[0], shards[1], tokenizer, vocab_size)


def _folders(root: Path) -> Iterator[Path]:
    yield root
    for parent in (root, root / "datasets"):
        if parent.is_dir():
            yield from (path for path in sorted(parent.iterdir()) if path.is_dir())


def _tokenizer(root: Path, vocab_size: int) -> Path:
    """The model of ``vocab_size`` pieces in ``root``, its ``tokenizers``, or, of a dataset's folder, those above."""
    places = [root, root / "tokenizers", root.parent / "tokenizers", root.parent.parent / "tokenizers"]
    models = [path for place in places if place.is_dir() for path in sorted(place.glob("*.model"))]
    for path in sorted(models, key=lambda path: str(vocab_size) not in path.stem):
        if load_tokenizer(path).vocab_size() == vocab_size:
            return path
    there = f"; there are {', '.join(path.name for path in models)}" if models else ""
    raise DataError(f"{root} has no tokenizer (*.model) of {vocab_size:,} pieces{there}")
