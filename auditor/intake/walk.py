"""List and read the files of an untrusted folder: no link is followed, no device is opened, all is bounded."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from auditor.core.submission import Problem, ShippedFile
from auditor.intake.limits import LIMITS, Limits

SKIPPED_FOLDERS = frozenset({".git", "__pycache__", ".ipynb_checkpoints", "__MACOSX", ".venv", "node_modules"})


class Folder:
    """One folder and its problems. Paths are relative to it, with forward slashes."""

    def __init__(self, root: Path, limits: Limits = LIMITS, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self.limits = limits
        self.problems: list[Problem] = []
        self.sizes: dict[str, int] = {}
        self._hashes: dict[str, str] = {}
        self._budget = limits.total_bytes
        self._clock = clock
        self._deadline = clock() + limits.seconds
        self._list()

    def problem(self, file: str, reason: str, *, unread: bool = False) -> None:
        """Record a problem once; ``unread`` when it kept content from being read."""
        item = Problem(file, reason, unread)
        if item not in self.problems:
            self.problems.append(item)

    @property
    def late(self) -> bool:
        """Whether the time for this folder is spent."""
        return self._clock() > self._deadline

    def files(self) -> tuple[ShippedFile, ...]:
        """Every regular file with its size, and its hash when it was read whole."""
        return tuple(ShippedFile(p, n, self._hashes.get(p)) for p, n in sorted(self.sizes.items()))

    def sha256(self, path: str) -> str:
        """Hash of a file that was read; empty when it was not."""
        return self._hashes.get(path, "")

    def read(self, path: str, limit: int, *, cut: bool = False) -> bytes | None:
        """Up to ``limit`` bytes of a listed file; None and a problem when longer (unless ``cut``) or unreadable."""
        size = self.sizes.get(path)
        if size is None:
            return None
        if size > limit and not cut:
            self.problem(path, f"not read: {size:,} bytes, over the limit of {limit:,}", unread=True)
            return None
        if min(size, limit) > self._budget:
            reason = f"not read: the folder's files exceed {self.limits.total_bytes:,} bytes in all"
            self.problem(path, reason, unread=True)
            return None
        if self.late:
            self.problem(path, f"not read: the folder took longer than {self.limits.seconds:g} s", unread=True)
            return None
        data = self._open(path, limit)
        if data is not None:
            self._budget -= len(data)
            if size <= limit:
                self._hashes[path] = hashlib.sha256(data).hexdigest()
        return data

    def _open(self, path: str, limit: int) -> bytes | None:
        try:
            handle = os.open(self.root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self.problem(path, f"cannot be read: {error.strerror or error}", unread=True)
            return None
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                self.problem(path, "not read: it is not a regular file", unread=True)
                return None
            try:
                return stream.read(limit)
            except OSError as error:
                self.problem(path, f"cannot be read: {error.strerror or error}", unread=True)
                return None

    def _list(self) -> None:
        """Fill ``sizes``; folders in breadth-first order so that a limit cuts the deepest first."""
        level, seen = [""], 0
        for depth in range(self.limits.depth + 1):
            following: list[str] = []
            for prefix in level:
                seen += self._list_one(prefix, following)
                if seen > self.limits.files:
                    reason = f"only the first {self.limits.files:,} files of the folder were listed"
                    self.problem(prefix or ".", reason, unread=True)
                    return
            if not following:
                return
            if depth == self.limits.depth:
                reason = f"not listed: folders nest deeper than {self.limits.depth} levels"
                self.problem(following[0], reason, unread=True)
            level = following

    def _list_one(self, prefix: str, following: list[str]) -> int:
        count = 0
        try:
            entries = os.scandir(self.root / prefix)
        except OSError as error:
            self.problem(prefix or ".", f"cannot be listed: {error.strerror or error}", unread=True)
            return 0
        with entries:
            for entry in entries:
                count += 1
                if count > self.limits.files:
                    break
                self._take(entry, f"{prefix}/{entry.name}" if prefix else entry.name, following)
        following.sort()
        return count

    def _take(self, entry: os.DirEntry[str], path: str, following: list[str]) -> None:
        shown = path.encode("utf-8", "backslashreplace").decode("utf-8")
        try:
            info = entry.stat(follow_symlinks=False)
        except OSError as error:
            self.problem(shown, f"cannot be read: {error.strerror or error}", unread=True)
            return
        if stat.S_ISLNK(info.st_mode):
            self.problem(shown, f"a symbolic link to {_target(entry)}; links are not followed", unread=True)
        elif stat.S_ISDIR(info.st_mode):
            if entry.name not in SKIPPED_FOLDERS:
                following.append(path)
        elif not stat.S_ISREG(info.st_mode):
            self.problem(shown, "not a regular file (a pipe, socket or device); it is not opened", unread=True)
        elif shown != path:
            self.problem(shown, "its name is not valid UTF-8; it is not read", unread=True)
        else:
            self.sizes[path] = info.st_size


def _target(entry: os.DirEntry[str]) -> str:
    try:
        return repr(os.readlink(entry.path))
    except OSError:
        return "an unknown place"
