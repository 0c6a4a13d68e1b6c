"""The perturbed run: what is loaded back from the artifact is changed a little, so that the host sees if it matters.

Two ways, because artifacts are packed in many ways. ``objects``: what `torch.load`, ``pickle`` and ``np.load`` give
after an artifact was written. ``bytes``: what a decompressor gives of the artifact's own bytes, for hand-packed
formats. Every change is an event ``Perturbed``.
"""

from __future__ import annotations

import _io
import bz2
import gzip
import importlib
import io
import lzma
import os
import pickle
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from auditor.behaviour.shims.context import ShimContext

SCALE = 1.01
SHIFT = 0.02
LEAST = 0.05
"""Weights smaller than this on average are moved as if they were so large."""
NO_WEIGHTS = re.compile(r"\.(?:json|txt|log|csv|tsv|md|yaml|yml|py)$", re.I)
SMALL_INTS = (torch.int8, torch.uint8, torch.int16)
SHARE = 23
"""In hand-packed bytes one byte of so many gets another lowest bit."""
HEAD = 256
"""Bytes at the start of a hand-packed artifact that stay, for they may be its index; so does text right behind them."""
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]*")
Site = Callable[[], Any]


def install(ctx: ShimContext, how: str, site: Site) -> Artifact:
    """Patch the ways of loading. ``how`` is ``objects`` or ``bytes``; ``site`` names the submission's line."""
    artifact = Artifact(ctx, site)
    if how == "bytes":
        _patch_bytes(ctx, artifact)
    else:
        _patch_objects(ctx, artifact)
    return artifact


class Artifact:
    """The last file of weights that the script wrote, and whether given data come from it."""

    def __init__(self, ctx: ShimContext, site: Site) -> None:
        self._ctx, self._site, self._emit = ctx, site, ctx.emit
        self.path = ""
        self._content = b""
        self._inner = False
        ctx.emit = self.seen

    def seen(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Take note of an event and pass it on."""
        if kind == "ArtifactWritten" and not NO_WEIGHTS.search(str(fields["path"])):
            self.path, self._content = str(fields["path"]), b""
        self._emit(kind, fields)

    def adopt(self, fields: Mapping[str, Any]) -> None:
        """Take an artifact that was written before this was installed."""
        self.path, self._content = str(fields["path"]), b""

    @contextmanager
    def inner(self) -> Iterator[None]:
        """Inside nothing is changed: a decompressor that works with another one must not be changed twice."""
        before, self._inner = self._inner, True
        try:
            yield
        finally:
            self._inner = before

    def holds(self, data: Any) -> bool:
        """Whether ``data`` (bytes) is the artifact or a part of it."""
        if self._inner or not self.path or not isinstance(data, bytes | bytearray | memoryview) or len(data) < 16:
            return False
        if not self._content:
            with _io.open(self.path, "rb") as f:
                self._content = bytes(f.read())
        return bytes(data) in self._content

    def is_source(self, file: Any) -> bool:
        """Whether loading from ``file`` loads the artifact: its path, or anything in memory once it is written."""
        if not self.path:
            return False
        if isinstance(file, str | os.PathLike):
            return os.path.abspath(os.fspath(file)) == self.path
        name = getattr(file, "name", None)
        return not isinstance(name, str) or os.path.abspath(name) == self.path

    def note(self, what: str, count: int) -> None:
        """Tell the host of a change."""
        if count:
            self._emit("Perturbed", {"what": what, "count": count, "site": self._site()})


def _patch_objects(ctx: ShimContext, artifact: Artifact) -> None:
    def after(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def loaded(file: Any, *args: Any, **kwargs: Any) -> Any:
            ours = artifact.is_source(file) or artifact.holds(file)
            result = real(file, *args, **kwargs)
            if not ours:
                return result
            counter = [0]
            changed = changed_object(result, counter)
            artifact.note(name, counter[0])
            return changed

        return loaded

    for owner, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (np, "load")):
        ctx.patch(owner, name, after(f"{owner.__name__}.{name}", getattr(owner, name)))
    try:
        safe = importlib.import_module("safetensors.torch")
    except ImportError:
        return
    for name in ("load", "load_file"):
        ctx.patch(safe, name, after(f"safetensors.{name}", getattr(safe, name)))


def changed_object(value: Any, counter: list[int]) -> Any:
    """``value`` with every weight in it changed: floats scaled and shifted, small integers with another lowest bit."""
    if torch.is_tensor(value):
        return _changed_tensor(value, counter)
    if isinstance(value, np.ndarray):
        return _changed_array(value, counter)
    if isinstance(value, np.lib.npyio.NpzFile):
        return Arrays({name: _changed_array(value[name], counter) for name in value.files})
    if isinstance(value, bytes) and len(value) > 4 * HEAD:
        counter[0] += 1
        return flipped(value)
    if isinstance(value, dict):
        for key in list(value):
            value[key] = changed_object(value[key], counter)
        return value
    if isinstance(value, list):
        value[:] = [changed_object(v, counter) for v in value]
        return value
    if type(value) is tuple:
        return tuple(changed_object(v, counter) for v in value)
    return value


class Arrays(dict[str, Any]):
    """Changed arrays in place of an ``NpzFile``."""

    @property
    def files(self) -> list[str]:
        """The arrays' names."""
        return list(self)

    def __enter__(self) -> Arrays:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def close(self) -> None:
        """Nothing to close."""


def _changed_tensor(value: torch.Tensor, counter: list[int]) -> torch.Tensor:
    if value.is_quantized or value.is_sparse:
        return value
    with torch._C.DisableTorchFunction(), torch.no_grad():
        if value.is_floating_point():
            counter[0] += 1
            scaled = torch.from_numpy(_shifted(value.detach().double().numpy())).to(value.dtype)
            return scaled if not isinstance(value, torch.nn.Parameter) else torch.nn.Parameter(scaled)
        if value.dtype in SMALL_INTS and value.numel() > 1:
            counter[0] += 1
            return value.bitwise_xor(torch.ones((), dtype=value.dtype))
    return value


def _shifted(values: Any) -> Any:
    """Scaled, and moved by a little that differs from weight to weight: zeros and normed rows move too."""
    size = max(float(np.abs(values).mean()) if values.size else 0.0, LEAST)
    wave = (np.arange(values.size, dtype=np.float64).reshape(values.shape) % 7 - 3) / 3
    return values * SCALE + SHIFT * size * wave


def _changed_array(value: Any, counter: list[int]) -> Any:
    if value.dtype.kind == "f":
        counter[0] += 1
        return _shifted(value.astype(np.float64)).astype(value.dtype)
    if value.dtype.kind in "iu" and value.dtype.itemsize <= 2 and value.size > 1:
        counter[0] += 1
        return value ^ value.dtype.type(1)
    return value


def flipped(data: bytes) -> bytes:
    """``data`` with the lowest bit of one byte in `SHARE` changed, but for the first `HEAD` and an index behind them.

    An index is text that is not nearly all of ``data``.
    """
    text = _TEXT.match(data, HEAD)
    end = text.end() if text else HEAD
    array = np.frombuffer(data, np.uint8).copy()
    array[end if end < 0.9 * len(data) else HEAD :: SHARE] ^= 1
    return array.tobytes()


def _patch_bytes(ctx: ShimContext, artifact: Artifact) -> None:
    def unpacked(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def decompress(data: Any, *args: Any, **kwargs: Any) -> Any:
            with artifact.inner():
                result = real(data, *args, **kwargs)
            return _changed_bytes(artifact, name, data, result)

        return decompress

    owners: list[tuple[Any, str]] = [(module, "decompress") for module in (zlib, lzma, bz2, gzip)]
    for module in ("brotli", "zstandard"):
        try:
            owners.append((importlib.import_module(module), "decompress"))
        except ImportError:
            continue
    for owner, name in owners:
        if hasattr(owner, name):
            ctx.patch(owner, name, unpacked(f"{owner.__name__}.{name}", getattr(owner, name)))
    for module, name in (("zlib", "decompressobj"), ("lzma", "LZMADecompressor"), ("bz2", "BZ2Decompressor"),
                         ("brotli", "Decompressor")):  # fmt: skip
        _patch_stream(ctx, artifact, module, name)
    _patch_zstandard(ctx, artifact)
    _patch_gzip_check(ctx)


def _patch_gzip_check(ctx: ShimContext) -> None:
    """``gzip.open`` checks what it read against the sum in the file, which is another's once bytes are changed."""
    reader: Any = getattr(gzip, "_GzipReader", None)
    real: Any = getattr(reader, "_read_eof", None)

    def read_eof(self: Any) -> None:
        with suppress(gzip.BadGzipFile):
            real(self)

    if real is not None:
        ctx.patch(reader, "_read_eof", read_eof)


def _changed_bytes(artifact: Artifact, name: str, data: Any, result: Any) -> Any:
    """``result`` of decompressing ``data``, changed where that is the artifact."""
    if not isinstance(result, bytes) or len(result) <= 2 * HEAD or not artifact.holds(data):
        return result
    artifact.note(name, len(result) // SHARE)
    return flipped(result)


def _patch_stream(ctx: ShimContext, artifact: Artifact, module: str, name: str) -> None:
    """``zlib.decompressobj().decompress`` and its kin; the modules' own ``decompress`` use them inside."""
    try:
        owner = importlib.import_module(module)
    except ImportError:
        return
    real: Any = getattr(owner, name, None)
    if real is None:
        return

    class Stream:
        """A stand-in that changes what comes out of the artifact."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._real = real(*args, **kwargs)

        def decompress(self, data: Any, *args: Any, **kwargs: Any) -> Any:
            """Decompress, changed where it is the artifact."""
            return _changed_bytes(artifact, f"{module}.{name}", data, self._real.decompress(data, *args, **kwargs))

        def process(self, data: Any, *args: Any, **kwargs: Any) -> Any:
            """The same as brotli calls it."""
            return _changed_bytes(artifact, f"{module}.{name}", data, self._real.process(data, *args, **kwargs))

        def __getattr__(self, attribute: str) -> Any:
            return getattr(self._real, attribute)

    ctx.patch(owner, name, Stream)


def _patch_zstandard(ctx: ShimContext, artifact: Artifact) -> None:
    """``zstandard.ZstdDecompressor().decompress``: the class is replaced by one that passes through here."""
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError:
        return
    real = zstandard.ZstdDecompressor

    class Decompressor:
        """A stand-in that changes what comes out of the artifact."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._real = real(*args, **kwargs)

        def decompress(self, data: Any, *args: Any, **kwargs: Any) -> Any:
            """Decompress, changed where it is the artifact."""
            return _changed_bytes(artifact, "zstandard.decompress", data, self._real.decompress(data, *args, **kwargs))

        def stream_reader(self, source: Any, *args: Any, **kwargs: Any) -> Any:
            """Decompress as a stream; read at once."""
            data = source if isinstance(source, bytes) else source.read()
            return io.BytesIO(self.decompress(data, *args[:0]))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    ctx.patch(zstandard, "ZstdDecompressor", Decompressor)


__all__ = ["Arrays", "Artifact", "changed_object", "flipped", "install"]
