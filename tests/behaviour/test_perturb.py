"""The perturbed artifact: every way of decompressing is changed once, and an index of text stays whole."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard

from auditor.behaviour.guest.perturb import HEAD, SHARE, flipped, install

brotli = pytest.importorskip("brotli")
WEIGHTS = bytes(range(128, 256)) * 40
INDEX = json.dumps({f"blocks.{i}.weight": [8, 8] for i in range(60)}).encode()


class Context:
    """What `install` asks of its context."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self._undo: list[tuple[Any, str, Any]] = []

    def emit(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.events.append((kind, fields))

    def patch(self, owner: Any, name: str, value: Any) -> None:
        self._undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def undo(self) -> None:
        for owner, name, value in reversed(self._undo):
            setattr(owner, name, value)


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Callable[[bytes], bytes]]:
    """Write an artifact and have it noticed; what is read back."""
    context = Context()
    install(context, "bytes", lambda: "here")  # type: ignore[arg-type]

    def write(content: bytes) -> bytes:
        path = tmp_path / "model.bin"
        path.write_bytes(content)
        context.emit("ArtifactWritten", {"path": str(path)})
        return path.read_bytes()

    yield write
    context.undo()


WAYS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "zlib": (zlib.compress, lambda b: zlib.decompress(b)),
    "zlib stream": (zlib.compress, lambda b: zlib.decompressobj().decompress(b)),
    "lzma": (lzma.compress, lambda b: lzma.decompress(b)),
    "lzma stream": (lzma.compress, lambda b: lzma.LZMADecompressor().decompress(b, 10**6)),
    "bz2": (bz2.compress, lambda b: bz2.decompress(b)),
    "bz2 stream": (bz2.compress, lambda b: bz2.BZ2Decompressor().decompress(b)),
    "gzip": (gzip.compress, lambda b: gzip.decompress(b)),
    "brotli": (brotli.compress, lambda b: brotli.decompress(b)),
    "brotli stream": (brotli.compress, lambda b: brotli.Decompressor().process(b)),
    "zstd": (lambda b: zstandard.ZstdCompressor().compress(b), lambda b: zstandard.ZstdDecompressor().decompress(b)),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_what_is_decompressed_is_changed_once(way: str, written: Callable[[bytes], bytes]) -> None:
    pack, unpack = WAYS[way]
    other = pack(WEIGHTS[::-1])
    assert unpack(written(pack(WEIGHTS))) == flipped(WEIGHTS) != WEIGHTS
    assert unpack(other) == WEIGHTS[::-1], "what is no artifact stays as it is"


def test_a_gzip_file_is_changed_and_its_checksum_not_asked(written: Callable[[bytes], bytes]) -> None:
    packed = written(gzip.compress(WEIGHTS))
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        changed = file.read()
    assert len(changed) == len(WEIGHTS) and changed != WEIGHTS


def test_an_index_of_text_stays_whole() -> None:
    raw = len(INDEX).to_bytes(4, "little") + INDEX + WEIGHTS
    changed = flipped(raw)
    assert changed[: 4 + len(INDEX)] == raw[: 4 + len(INDEX)]
    assert sum(a != b for a, b in zip(changed, raw, strict=True)) == -(-len(WEIGHTS) // SHARE)


def test_weights_written_as_text_are_changed_too() -> None:
    text = b"0123456789abcdef" * 400
    assert flipped(text)[:HEAD] == text[:HEAD] and flipped(text) != text
