"""Objects of an untrusted git repository, read through one long-lived ``git cat-file --batch``.

Only object names go to git, never a path: whatever a tree's entries are called, git is not asked about them.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from auditor.intake.git import SAFE_GIT, environment
from auditor.sweep.types import SweepError

MAX_META_BYTES = 16 << 20
"""Longest commit or tree object that is read."""
_NAME = re.compile(r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$")
_CHUNK = 1 << 20
TIMEOUT_S = 120.0

FOLDER, FILE, LINK, SUBMODULE = "folder", "file", "link", "submodule"


class Missing(SweepError):
    """The repository names an object that it does not hold (a partial or damaged copy)."""


class TooLarge(SweepError):
    """An object is over the limit that was given."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a tree. ``kind`` is folder, file, link or submodule."""

    name: str
    """Bytes that are no UTF-8 are surrogates."""
    kind: str
    oid: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit object says of itself."""

    tree: str
    parents: tuple[str, ...]
    author: str
    date: int
    """Of the author, seconds since 1970."""
    offset: int
    """Of the author's clock, minutes east of Greenwich."""
    message: str


class Objects:
    """Reads objects by name. One per process; not to be shared between threads."""

    def __init__(self, git_dir: Path) -> None:
        self._git_dir = git_dir
        self._contents = self._start("--batch")
        self._sizes = self._start("--batch-check")
        self.tree = lru_cache(maxsize=4096)(self._tree)

    def close(self) -> None:
        """End the reader processes."""
        for process in (self._contents, self._sizes):
            if process.stdin:
                process.stdin.close()
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()

    def size(self, oid: str) -> tuple[str, int]:
        """(type, bytes) of an object. Raises `Missing`."""
        return self._header(self._sizes, oid)

    def read(self, oid: str, limit: int) -> bytes:
        """Contents of an object. Raises `Missing`, and `TooLarge` without having read it."""
        return b"".join(self.chunks(oid, limit))

    def chunks(self, oid: str, limit: int) -> Iterator[bytes]:
        """As `read`, a piece at a time; to be read to its end."""
        _, size = self.size(oid)
        if size > limit:
            raise TooLarge(f"{size:,} bytes, over the limit of {limit:,}")
        _, left = self._header(self._contents, oid)
        stream = _out(self._contents)
        while left:
            data = stream.read(min(left, _CHUNK))
            if not data:
                raise SweepError("git cat-file ended in the middle of an object")
            left -= len(data)
            yield data
        stream.read(1)

    def commit(self, oid: str) -> Commit:
        """Read a commit. Raises `SweepError`."""
        kind, _ = self.size(oid)
        if kind != "commit":
            raise SweepError(f"{oid} is a {kind}, no commit")
        head, _, message = self.read(oid, MAX_META_BYTES).decode("utf-8", "replace").partition("\n\n")
        lines = head.split("\n")
        fields = [line.partition(" ") for line in lines]
        author = next((value for key, _, value in fields if key == "author"), "")
        tree = next((value for key, _, value in fields if key == "tree"), "")
        match = re.match(r"^(.*?) ?<.*> (-?\d{1,12}) ([+-]\d{4})$", author)
        name, date, zone = match.groups() if match else (author, "0", "+0000")
        minutes = (1 if zone[0] == "+" else -1) * (int(zone[1:3]) * 60 + int(zone[3:]))
        parents = tuple(value for key, _, value in fields if key == "parent")
        return Commit(tree, parents, name, int(date), minutes, message)

    def _tree(self, oid: str) -> tuple[Entry, ...]:
        """Entries of a tree, as git orders them. Raises `SweepError`."""
        kind, _ = self.size(oid)
        if kind != "tree":
            raise SweepError(f"{oid} is a {kind}, no tree")
        return tuple(parse_tree(self.read(oid, MAX_META_BYTES), len(oid) // 2))

    def _start(self, mode: str) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [*SAFE_GIT, "--git-dir", os.fspath(self._git_dir), "cat-file", mode], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(),
            )  # fmt: skip
        except OSError as error:
            raise SweepError(f"git cannot be started: {error.strerror or error}") from error

    @staticmethod
    def _header(process: subprocess.Popen[bytes], oid: str) -> tuple[str, int]:
        if not _NAME.match(oid):
            raise SweepError(f"{oid[:80]!r} is no object name")
        assert process.stdin is not None
        try:
            process.stdin.write(f"{oid}\n".encode())
            process.stdin.flush()
        except OSError as error:
            raise SweepError(f"git cat-file ended: {error.strerror or error}") from error
        words = _out(process).readline().decode("ascii", "replace").split()
        if len(words) == 2 and words[1] == "missing":
            raise Missing(f"the repository does not hold {oid}")
        if len(words) != 3:
            raise SweepError(f"git cat-file does not tell of {oid}")
        return words[1], int(words[2])


def parse_tree(data: bytes, width: int) -> Iterator[Entry]:
    """Entries of a tree object; ``width`` is the length of an object name in bytes. Raises `SweepError`."""
    at = 0
    while at < len(data):
        space, nul = data.find(b" ", at), data.find(b"\0", at)
        if not at < space < nul or nul + 1 + width > len(data):
            raise SweepError("a tree object is damaged")
        name = data[space + 1 : nul].decode("utf-8", "surrogateescape")
        yield Entry(name, _kind(data[at:space]), data[nul + 1 : nul + 1 + width].hex())
        at = nul + 1 + width


def _kind(mode: bytes) -> str:
    """By the file type bits of a tree's mode."""
    try:
        bits = int(mode, 8) & 0o170000
    except ValueError:
        raise SweepError("a tree object has a mode that is no number") from None
    return {0o040000: FOLDER, 0o100000: FILE, 0o120000: LINK}.get(bits, SUBMODULE)


def _out(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout
