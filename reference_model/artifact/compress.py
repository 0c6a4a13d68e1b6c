"""The compressors of the competition, with a limit on what comes out."""

from __future__ import annotations

import io
import lzma
import zlib

import brotli
import zstandard

from reference_model.config import Compressor

MAX_RAW = 1 << 30
"""Bytes that decompression gives at most, unless told."""
MAGICS: dict[bytes, Compressor] = {b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\x00": "lzma", b"\x78": "zlib"}
"""How a stream of each begins; brotli's has no mark."""


class CompressionError(ValueError):
    """A stream that is damaged, unknown or too large; the message is one sentence."""


def compress(data: bytes, compressor: Compressor, level: int) -> bytes:
    """``data`` in one stream. Levels: zstd to 22, lzma 0-9, zlib 0-9, brotli 0-11."""
    if compressor == "zstd":
        return zstandard.ZstdCompressor(level=level).compress(data)
    if compressor == "lzma":
        return lzma.compress(data, preset=level)
    if compressor == "zlib":
        return zlib.compress(data, level)
    return bytes(brotli.compress(data, quality=level))


def decompress(data: bytes, compressor: Compressor, limit: int = MAX_RAW) -> bytes:
    """The inverse of `compress`. Raises `CompressionError`; more than ``limit`` bytes are never held."""
    try:
        out, whole = _DECOMPRESS[compressor](data, limit + 1)
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError, brotli.error, EOFError) as error:
        raise CompressionError(f"the {compressor} stream is damaged ({error})") from error
    if len(out) > limit:
        raise CompressionError(f"the {compressor} stream holds more than {limit:,} bytes")
    if not whole:
        raise CompressionError(f"the {compressor} stream is cut off or followed by other bytes")
    return out


def recognise(data: bytes) -> Compressor | None:
    """The compressor by a stream's first bytes; None: none that leaves a mark."""
    return next((name for magic, name in MAGICS.items() if data.startswith(magic)), None)


def _zstd(data: bytes, limit: int) -> tuple[bytes, bool]:
    source = io.BytesIO(data)
    with zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=False, closefd=False) as reader:
        out = reader.read(limit)
    frame = zstandard.get_frame_parameters(data)
    size = frame.content_size
    return out, size in (zstandard.CONTENTSIZE_UNKNOWN, len(out)) or len(out) >= limit


def _lzma(data: bytes, limit: int) -> tuple[bytes, bool]:
    stream = lzma.LZMADecompressor()
    out = stream.decompress(data, limit)
    return out, stream.eof and not stream.unused_data


def _zlib(data: bytes, limit: int) -> tuple[bytes, bool]:
    stream = zlib.decompressobj()
    out = stream.decompress(data, limit)
    return out, stream.eof and not stream.unused_data


def _brotli(data: bytes, limit: int) -> tuple[bytes, bool]:
    stream = brotli.Decompressor()
    out = bytes(stream.process(data, output_buffer_limit=limit))
    return out, bool(stream.is_finished())


_DECOMPRESS = {"zstd": _zstd, "lzma": _lzma, "zlib": _zlib, "brotli": _brotli}
