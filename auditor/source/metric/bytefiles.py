"""Shipped side files with bytes per token (``.npz``): are single-byte tokens given the three bytes of U+FFFD?

A tokenizer whose vocabulary holds raw bytes cannot decode a lone byte above 0x7F: decoding gives U+FFFD, whose UTF-8
has three bytes. A table made by decoding each token then counts three for one. Such vocabularies are ordered by
length, so the fault shows as a run of threes between the ones and the twos.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath

import numpy as np

from auditor.core.submission import Submission
from auditor.source.metric_facts import ShippedByteTable

_MAX_BYTES = 32 << 20
_MIN_RUN = 8
_MAX_FILES = 8


def analyse_shipped(submission: Submission) -> tuple[ShippedByteTable, ...]:
    """The byte tables of all shipped ``.npz`` files. Unreadable files give nothing here (intake names them)."""
    found: list[ShippedByteTable] = []
    names = [f.path for f in submission.files if f.path.endswith(".npz") and f.size <= _MAX_BYTES][:_MAX_FILES]
    for name in names:
        path = submission.root / PurePosixPath(name)
        if path.is_symlink() or not path.is_file():
            continue
        found += byte_tables(name, path.read_bytes())
    return tuple(found)


def byte_tables(name: str, data: bytes) -> list[ShippedByteTable]:
    """The byte tables inside one ``.npz``; nothing is unpickled, nothing larger than the limit is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MAX_BYTES:
                return []
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return [t for key in arrays.files if (t := _table(name, key, arrays[key])) is not None]
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError):
        return []


def _table(name: str, key: str, values: np.ndarray) -> ShippedByteTable | None:
    if values.ndim != 1 or values.dtype.kind not in "iu" or not 64 <= len(values) <= 1 << 20:
        return None
    counts = [int(v) for v in values]
    if min(counts) < 0 or max(counts) > 255 or 1 not in counts:
        return None
    return ShippedByteTable(name, key, len(counts), _tripled(counts), "order")


def _tripled(counts: list[int]) -> int:
    """Length of a run of threes among the single bytes, in front of all two-byte tokens; 0 when there is none."""
    for start in range(1, len(counts)):
        if counts[start] > 3 or counts[start] == 2:
            return 0
        if counts[start] == 3:
            end = start
            while end < len(counts) and counts[end] == 3:
                end += 1
            ones = sum(1 for c in counts[:start] if c == 1)
            followed = end < len(counts) and counts[end] in {1, 2}
            return end - start if end - start >= _MIN_RUN and ones >= 0.8 * start >= _MIN_RUN and followed else 0
    return 0
