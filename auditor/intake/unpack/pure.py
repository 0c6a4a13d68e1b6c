"""The functions and methods that the loader machine may really call: pure ones, with bounded results.

Everything that is not in these tables is opaque. None of them runs code of the submission.
"""

from __future__ import annotations

import json
import lzma
import posixpath
import re
import textwrap
import zlib
from collections.abc import Callable
from typing import Any

from auditor.intake.unpack import bounded
from auditor.intake.unpack.bounded import Undecodable
from auditor.intake.unpack.values import ROOT, Opaque, VPath, normal, size

MAX_BYTES = 16 << 20
"""Longest value that an expression may build."""

CODECS = re.compile(r"(?i)^(utf[-_]?(8|16|32)([-_]?(le|be|sig))?|ascii|latin[-_]?1|iso[-_]?8859[-_]?1|cp\d{3,4})$")

CONSTANTS: dict[str, Any] = {
    **{f"lzma.{n}": getattr(lzma, n) for n in dir(lzma) if re.match(r"(FORMAT|FILTER|PRESET|CHECK|MF|MODE)_", n)},
    "zlib.MAX_WBITS": zlib.MAX_WBITS, "zlib.DEF_WBITS": zlib.MAX_WBITS, "os.sep": "/", "os.linesep": "\n",
    "sys.executable": "python", "sys.argv": ["train_gpt.py"], "sys.platform": "linux", "os.name": "posix",
}

_DECOMPRESS: dict[str, Callable[..., bytes]] = {
    "lzma.decompress": bounded.lzma_decompress, "zlib.decompress": bounded.zlib_decompress,
    "gzip.decompress": bounded.gzip_decompress, "bz2.decompress": bounded.bz2_decompress,
    "brotli.decompress": bounded.brotli_decompress, "brotlicffi.decompress": bounded.brotli_decompress,
    "zstandard.decompress": bounded.zstd_decompress, "zstd.decompress": bounded.zstd_decompress,
    "pyzstd.decompress": bounded.zstd_decompress, "compression.zstd.decompress": bounded.zstd_decompress,
}
STREAMS = {
    "zstandard.ZstdDecompressor": "zstandard.decompress", "lzma.LZMADecompressor": "lzma.decompress",
    "zlib.decompressobj": "zlib.decompress", "bz2.BZ2Decompressor": "bz2.decompress",
    "brotli.Decompressor": "brotli.decompress",
}
"""Decompressor classes and the functions that give the same bytes."""
_KEYWORDS = {
    "format",
    "filters",
    "wbits",
    "altchars",
    "validate",
    "foldspaces",
    "adobe",
    "ignorechars",
    "casefold",
    "map01",
}


def decoder(name: str, args: list[Any], options: dict[str, Any], limit: int) -> tuple[str, bytes] | None:
    """Layer name and result when ``name`` is a decompressor or a text decoder; None when it is neither."""
    options = {k: v for k, v in options.items() if k in _KEYWORDS}
    if name in _DECOMPRESS:
        if name == "lzma.decompress" and len(args) > 1:
            options = dict(zip(("format", "memlimit", "filters"), args[1:4], strict=False)) | options
            options.pop("memlimit", None)
        if name == "zlib.decompress" and len(args) > 1:
            options["wbits"] = args[1]
        data = _bytes(args[0], name)
        layer = name.rpartition(".")[0].replace("zstandard", "zstd")
        if options.get("format") == lzma.FORMAT_RAW:
            layer = "lzma (raw)"
        return layer, _DECOMPRESS[name](data, limit, **options)
    if name in ("bytes.fromhex", "bytearray.fromhex"):
        return "hex", bytes.fromhex(args[0])
    module, _, function = name.rpartition(".")
    if module in ("base64", "binascii") and function in bounded.LAYER_NAMES and args:
        if len(args) > 1 and function == "b64decode":
            options["altchars"] = args[1]
        if not isinstance(args[0], (str, bytes, bytearray)):
            raise Undecodable(f"{function}: its argument is not text")
        coded = bytes(args[0]) if isinstance(args[0], bytearray) else args[0]
        return bounded.LAYER_NAMES[function], bounded.text_decode(function, coded, **options)
    if name in ("codecs.decode", "bytes.decode") and len(args) > 1 and str(args[1]) in _CODEC_LAYERS:
        layer, real = _CODEC_LAYERS[str(args[1])]
        return decoder(real, args[:1], {}, limit) or (layer, b"")
    return None


_CODEC_LAYERS = {
    "hex": ("hex", "binascii.unhexlify"), "base64": ("base64", "base64.decodebytes"),
    "zlib": ("zlib", "zlib.decompress"), "bz2": ("bz2", "bz2.decompress"),
}


def _bytes(value: Any, name: str) -> bytes:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise Undecodable(f"{name}: its argument is {value.reason if isinstance(value, Opaque) else 'not bytes'}")


def _range(*args: int) -> list[int]:
    items = range(*args)
    if len(items) > 200_000:
        raise Undecodable("a range that is too long")
    return list(items)


def _sum(items: Any, start: int = 0) -> int:
    """Numbers only: the sum of long lists would take quadratic time."""
    return sum(map(int, items), start)


def _make_bytes(value: Any = b"", encoding: str = "utf-8", *_: Any) -> bytes:
    if isinstance(value, int):
        if not 0 <= value <= MAX_BYTES:
            raise Undecodable("bytes() of a large number")
        return bytes(value)
    return value.encode(_codec(encoding)) if isinstance(value, str) else bytes(value)


def _make_str(value: Any = "", encoding: str = "utf-8", *_: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode(_codec(encoding), "replace")
    return value.text if isinstance(value, VPath) else str(value)


def _codec(name: Any) -> str:
    if not isinstance(name, str) or not CODECS.match(name):
        raise Undecodable(f"text encoding {name!r} is not known here")
    return name


def _loads(text: Any, **_: Any) -> Any:
    return json.loads(text)


def _path(*parts: Any) -> VPath:
    return VPath(posixpath.join(*(text_of(p) for p in parts)) if parts else ".")


def _join(*parts: Any) -> str:
    return posixpath.join(*(text_of(p) for p in parts))


def text_of(value: Any) -> str:
    """A path-like value as text; ``Undecodable`` when it is none."""
    if isinstance(value, VPath):
        return value.text
    if isinstance(value, str):
        return value
    raise Undecodable(f"a path that is {value.reason if isinstance(value, Opaque) else 'no text'}")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": len,
    "ord": ord,
    "chr": chr,
    "int": int,
    "bool": bool,
    "abs": abs,
    "min": min,
    "max": max,
    "sum": _sum,
    "list": list,
    "tuple": tuple,
    "dict": dict,
    "set": set,
    "sorted": sorted,
    "range": _range,
    "str": _make_str,
    "bytes": _make_bytes,
    "bytearray": _make_bytes,
    "zip": lambda *a: list(zip(*a, strict=False)),
    "any": any,
    "all": all,
    "enumerate": lambda *a: list(enumerate(*a)),
    "reversed": lambda a: list(reversed(a)),
    "float": float,
    
    
    "bytes.maketrans": bytes.maketrans,
    "str.maketrans": str.maketrans,
    "int.from_bytes": int.from_bytes,
    "json.loads": _loads,
    "memoryview": _make_bytes,
    "os.path.join": _join,
    "os.path.dirname": lambda p: posixpath.dirname(text_of(p)),
    "os.fspath": text_of,
    "os.path.basename": lambda p: posixpath.basename(text_of(p)),
    "os.path.abspath": lambda p: normal(text_of(p)),
    "os.path.realpath": lambda p: normal(text_of(p)),
    "os.path.normpath": lambda p: posixpath.normpath(text_of(p)),
    "os.path.splitext": lambda p: posixpath.splitext(text_of(p)),
    "os.path.split": lambda p: posixpath.split(text_of(p)),
    "pathlib.Path": _path,
    "pathlib.PurePath": _path,
    "pathlib.PosixPath": _path,
    "os.getcwd": lambda: ROOT,
    "tempfile.mkdtemp": lambda *a, **k: "/tmp/made",
    "tempfile.gettempdir": lambda: "/tmp",
    "os.getpid": lambda: 1,
    "textwrap.dedent": textwrap.dedent,
    "io.BytesIO": lambda b=b"": b,
    "io.StringIO": lambda b="": b,
}

_TEXT = {
    "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "lower", "upper", "startswith", "endswith", "find",
    "rfind", "index", "count", "removeprefix", "removesuffix", "partition", "rpartition", "translate", "swapcase",
}
METHODS: dict[type, set[str]] = {
    str: _TEXT | {"isdigit"},
    bytes: _TEXT | {"hex"},
    list: {"index", "count", "copy"},
    tuple: {"index", "count"},
    dict: {"items", "keys", "values", "get", "copy"},
    int: {"bit_length"},
    set: set(),
    float: set(),
}


def method(owner: Any, name: str, args: list[Any], options: dict[str, Any]) -> Any:
    """Result of a pure method of plain data; ``Undecodable`` when it is not one."""
    if name in METHODS.get(type(owner), set()):
        result = getattr(owner, name)(*args, **options)
        return list(result) if name in ("items", "keys", "values") else result
    if name == "encode" and isinstance(owner, str):
        return owner.encode(_codec(args[0] if args else options.get("encoding", "utf-8")))
    if name == "decode" and isinstance(owner, bytes):
        return owner.decode(_codec(args[0] if args else options.get("encoding", "utf-8")), "replace")
    if name == "join" and isinstance(owner, (str, bytes)):
        items = list(args[0])
        if sum(map(size, items)) + len(owner) * len(items) > MAX_BYTES:
            raise Undecodable("a joined text that is too long")
        return owner.join(items)
    if name == "replace" and isinstance(owner, (str, bytes)):
        if len(owner) + owner.count(args[0]) * len(args[1]) > MAX_BYTES:
            raise Undecodable("a replacement that is too long")
        return owner.replace(*args[:3])
    if name == "to_bytes" and isinstance(owner, int):
        if args and int(args[0]) > MAX_BYTES:
            raise Undecodable("a number that is too long")
        return owner.to_bytes(*args, **options)
    if name in ("append", "extend") and isinstance(owner, list):
        getattr(owner, name)(*args)
        if len(owner) > 200_000:
            raise Undecodable("a list that is too long")
        return None
    if name in ("read", "getvalue") and isinstance(owner, (bytes, str)):
        return owner
    raise Undecodable(f".{name}() of a {type(owner).__name__} is not evaluated here")


_PATH_PARTS: dict[str, Callable[[str], Any]] = {
    "parent": lambda t: VPath(posixpath.dirname(t) or "."), "name": posixpath.basename,
    "stem": lambda t: posixpath.splitext(posixpath.basename(t))[0], "suffix": lambda t: posixpath.splitext(t)[1],
}


def path_part(path: VPath, name: str) -> Any:
    """``parent``, ``parents``, ``name``, ``stem``, ``suffix`` of a path; None for another attribute."""
    if name == "parents":
        above = [path.text]
        while posixpath.dirname(above[-1]) != above[-1]:
            above.append(posixpath.dirname(above[-1]))
        return [VPath(text) for text in above[1:]]
    make = _PATH_PARTS.get(name)
    return make(path.text) if make else None


def path_method(path: VPath, name: str, args: list[Any]) -> Any:
    """Pure methods of a path; None for those that touch files."""
    text = path.text
    if name in ("resolve", "absolute", "expanduser"):
        return VPath(normal(text))
    if name == "joinpath":
        return _path(path, *args)
    if name == "with_suffix":
        return VPath(posixpath.splitext(text)[0] + str(args[0]))
    if name == "with_name":
        return VPath(posixpath.join(posixpath.dirname(text), str(args[0])))
    if name in ("as_posix", "__str__", "__fspath__"):
        return text
    return None
