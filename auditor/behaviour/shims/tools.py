"""Command-line tools that scripts pipe data through, and that few machines have: done here, in Python."""

from __future__ import annotations

import ast
import lzma
import os
from collections.abc import Callable
from pathlib import PurePosixPath

Tool = Callable[[list[str], str, bytes], tuple[int, bytes]]
"""(arguments, working folder, standard input) to (exit status, standard output)."""
_LRZIP_VALUES = ("-o", "-L", "-p", "-S", "-N", "-m", "-w")


def minify(argv: list[str], folder: str, given: bytes) -> tuple[int, bytes]:
    """``pyminify``: the source without its comments; larger than the real tool's, so no size is understated."""
    files = [word for word in argv[1:] if not word.startswith("-")]
    source = _read(os.path.join(folder, files[0])) if files else given
    try:
        return 0, ast.unparse(ast.parse(source)).encode()
    except SyntaxError:
        return 0, source


def lrzip(argv: list[str], folder: str, given: bytes) -> tuple[int, bytes]:
    """``lrzip``: compresses a file into another, or back with ``-d``; the bytes are LZMA's, not lrzip's."""
    target, source, words = "", "", iter(argv[1:])
    for word in words:
        if word in _LRZIP_VALUES:
            value = next(words, "")
            target = value if word == "-o" else target
        elif not word.startswith("-"):
            source = word
    back = "-d" in argv
    target = target or (source.removesuffix(".lrz") if back else source + ".lrz")
    try:
        data = _read(os.path.join(folder, source))
        _write(os.path.join(folder, target), lzma.decompress(data) if back else lzma.compress(data))
    except (OSError, lzma.LZMAError) as error:
        return 1, str(error).encode()
    return 0, b""


def _read(path: str) -> bytes:
    with open(path, "rb") as handle:
        return handle.read()


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as handle:
        handle.write(data)


TOOLS: dict[str, Tool] = {"pyminify": minify, "lrzip": lrzip}


def tool(argv: list[str]) -> Tool | None:
    """The stand-in for a command, by the name of its program."""
    return TOOLS.get(PurePosixPath(argv[0]).name) if argv else None
