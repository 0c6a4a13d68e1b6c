"""The values of the loader machine: plain Python data, and tokens for what it must not touch."""

from __future__ import annotations

import ast
import posixpath
from dataclasses import dataclass, field
from typing import Any

from auditor.intake.unpack.bounded import Undecodable

LONGEST_PATH = 4096
"""Characters of a path, as Linux has it."""
REPOSITORY = "/repository"
ROOT = f"{REPOSITORY}/records/track/submission"
"""Where the folder lies in the machine's own file system; nothing of the real one is visible there."""


@dataclass(frozen=True)
class Opaque:
    """A value that is not known, and why. Everything made of it is opaque again."""

    reason: str


@dataclass(frozen=True)
class Ref:
    """A module or a function of the standard library, by its dotted name; it is never imported or called as such."""

    name: str


@dataclass(frozen=True)
class Bound:
    """A method of a value."""

    owner: Any
    name: str


@dataclass
class Func:
    """A lambda or a small function of the script."""

    node: ast.Lambda | ast.FunctionDef
    scope: dict[str, Any]


@dataclass(frozen=True)
class VPath:
    """A ``pathlib.Path`` of the machine's file system; raises `Undecodable` when no file could have that name."""

    text: str

    def __post_init__(self) -> None:
        if len(self.text) > LONGEST_PATH:
            raise Undecodable("a path that is too long")


@dataclass
class VFile:
    """An open file of the machine's file system; ``parts`` collects what is written."""

    path: str
    mode: str
    parts: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Code:
    """The result of ``compile``."""

    source: Any


@dataclass(frozen=True)
class Stream:
    """A decompressor object; ``function`` is the one-shot function that does the same."""

    function: str
    args: tuple[Any, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Module:
    """A fresh ``types.ModuleType`` (or, through ``__dict__``, its namespace)."""

    name: str


def normal(path: str) -> str:
    """Absolute, normalised path in the machine's file system; relative ones start at the folder."""
    return posixpath.normpath(posixpath.join(ROOT, path))


def size(value: Any) -> int:
    """Rough size of a value, to bound what the machine builds."""
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        return 8 * len(value)
    if isinstance(value, int):
        return value.bit_length() // 8
    return 0
