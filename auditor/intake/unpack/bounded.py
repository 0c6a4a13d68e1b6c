"""Decompressors that stop at a limit: a small input that unpacks to gigabytes costs no more than the limit."""

from __future__ import annotations

import base64
import binascii
import bz2
import io
import lzma
import zlib
from typing import Any

import brotli
import zstandard

MEMORY = 256 << 20
"""Memory that one decompressor may ask for (its dictionary or window)."""


class Undecodable(Exception):
    """A step of decoding failed or was refused; the message is the reason."""


def lzma_decompress(data: bytes, limit: int, format: int = lzma.FORMAT_AUTO, filters: Any = None) -> bytes:
    """As ``lzma.decompress``: .xz, .lzma or raw with explicit filters; several streams in a row are joined."""
    if format == lzma.FORMAT_RAW:
        _check_filters(filters)
    out = b""
    while True:
        try:
            memory = None if format == lzma.FORMAT_RAW else MEMORY
            stream = lzma.LZMADecompressor(format=format, memlimit=memory, filters=filters)
            out += stream.decompress(data, max_length=limit - len(out) + 1)
        except (lzma.LZMAError, ValueError, TypeError, MemoryError, OverflowError) as error:
            if out:
                return out  # the standard library ignores what follows a complete stream, too
            raise Undecodable(f"lzma: {error}") from None
        if len(out) > limit:
            raise Undecodable(f"lzma: unpacks to more than {limit:,} bytes")
        if not stream.eof:
            raise Undecodable("lzma: the data end before the end of the stream")
        data = stream.unused_data
        if not data:
            return out


def _check_filters(filters: Any) -> None:
    if not isinstance(filters, (list, tuple)) or not 0 < len(filters) <= 4:
        raise Undecodable("lzma: raw data without a list of filters")
    for item in filters:
        if not isinstance(item, dict) or not all(isinstance(v, int) for v in item.values()):
            raise Undecodable("lzma: a filter is not a dictionary of numbers")
        if item.get("dict_size", 0) > MEMORY // 2:
            raise Undecodable(f"lzma: asks for a dictionary of {item['dict_size']:,} bytes")


def zlib_decompress(data: bytes, limit: int, wbits: int = zlib.MAX_WBITS) -> bytes:
    """As ``zlib.decompress``; ``wbits`` 31 reads gzip, -15 raw deflate."""
    try:
        stream = zlib.decompressobj(wbits)
        out = stream.decompress(data, limit + 1)
    except (zlib.error, ValueError) as error:
        raise Undecodable(f"zlib: {error}") from None
    if len(out) > limit:
        raise Undecodable(f"zlib: unpacks to more than {limit:,} bytes")
    if not stream.eof:
        raise Undecodable("zlib: the data end before the end of the stream")
    return out


def gzip_decompress(data: bytes, limit: int) -> bytes:
    """As ``gzip.decompress`` for one member."""
    return zlib_decompress(data, limit, 31)


def bz2_decompress(data: bytes, limit: int) -> bytes:
    """As ``bz2.decompress`` for one stream."""
    stream = bz2.BZ2Decompressor()
    try:
        out = stream.decompress(data, max_length=limit + 1)
    except (OSError, ValueError) as error:
        raise Undecodable(f"bz2: {error}") from None
    if len(out) > limit:
        raise Undecodable(f"bz2: unpacks to more than {limit:,} bytes")
    if not stream.eof:
        raise Undecodable("bz2: the data end before the end of the stream")
    return out


def brotli_decompress(data: bytes, limit: int) -> bytes:
    """As ``brotli.decompress``."""
    stream = brotli.Decompressor()
    out = b""
    try:
        while not stream.is_finished():
            piece = stream.process(data, output_buffer_limit=1 << 20)
            data = b""
            out += piece
            if len(out) > limit:
                raise Undecodable(f"brotli: unpacks to more than {limit:,} bytes")
            if not piece and stream.can_accept_more_data():
                raise Undecodable("brotli: the data end before the end of the stream")
    except brotli.error as error:
        raise Undecodable(f"brotli: {error or 'corrupt data'}") from None
    return out


def zstd_decompress(data: bytes, limit: int) -> bytes:
    """As ``zstandard.decompress``, also for frames that do not state their size."""
    reader = zstandard.ZstdDecompressor(max_window_size=MEMORY >> 1).stream_reader(io.BytesIO(data))
    try:
        out: bytes = reader.read(limit + 1)
    except zstandard.ZstdError as error:
        raise Undecodable(f"zstd: {error}") from None
    if len(out) > limit:
        raise Undecodable(f"zstd: unpacks to more than {limit:,} bytes")
    return out


def text_decode(kind: str, data: str | bytes, **options: Any) -> bytes:
    """``base64``'s and ``binascii``'s decoders by name (``b85decode``, ``b64decode``, ``unhexlify``, ...)."""
    function = {**_BASE, **_HEX}.get(kind)
    if function is None:
        raise Undecodable(f"{kind} is not a decoder that is known here")
    try:
        result = function(data, **options)
    except (ValueError, TypeError, binascii.Error, OverflowError) as error:
        raise Undecodable(f"{kind}: {error}") from None
    assert isinstance(result, bytes)
    return result


_BASE: dict[str, Any] = {
    name: getattr(base64, name)
    for name in (
        "b85decode", "a85decode", "b64decode", "b32decode", "b16decode", "standard_b64decode", "urlsafe_b64decode",
        "decodebytes", "b32hexdecode",
    )
}
_HEX: dict[str, Any] = {"unhexlify": binascii.unhexlify, "a2b_hex": binascii.a2b_hex, "a2b_base64": binascii.a2b_base64}
LAYER_NAMES = {
    "b85decode": "base85", "a85decode": "ascii85", "b64decode": "base64", "b32decode": "base32", "b16decode": "base16",
    "standard_b64decode": "base64", "urlsafe_b64decode": "base64", "decodebytes": "base64", "b32hexdecode": "base32",
    "unhexlify": "hex", "a2b_hex": "hex", "a2b_base64": "base64",
}
