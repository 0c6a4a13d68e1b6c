"""One tree of an untrusted repository written below a private folder, for intake to read.

Files are written first and links last, so that no file is ever written through a link. Names that would lead out of
the folder are refused, whatever the tree says. Everything left out becomes a `Problem` that keeps the audit from a
pass.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from auditor.core.submission import Problem
from auditor.intake.limits import LIMITS, Limits
from auditor.sweep.gitobjects import FILE, FOLDER, LINK, Entry, Missing, Objects
from auditor.sweep.types import SweepError

MAX_FILE = 64 << 20
"""Longest file that is written whole; intake reads at most `Limits.side_bytes` of any."""
MAX_ALL = 512 << 20
MAX_LINK = 4096


def place_for(path: str, room: Path) -> Path:
    """The folder below ``room`` for the submission at ``path``, made. Raises `SweepError` for a path that leads out."""
    parts = path.split("/")
    if any(not _sound(part) for part in parts):
        raise SweepError(f"{path!r} is no path of a folder that can be laid out")
    place = room.resolve().joinpath(*parts)
    try:
        place.mkdir(parents=True)
    except OSError as error:
        raise SweepError(f"{path} cannot be laid out: {error.strerror or error}") from error
    return place


def lay_out(objects: Objects, tree: str, place: Path, limits: Limits = LIMITS) -> list[Problem]:
    """Write the tree's files below ``place``; the problems met, none of them fatal."""
    problems: list[Problem] = []
    links: list[tuple[str, Entry]] = []
    budget = MAX_ALL
    for count, (path, entry) in enumerate(_entries(objects, tree, limits, problems)):
        if count == limits.files:
            problems.append(Problem(".", f"only the first {limits.files:,} files of the folder were laid out", True))
            break
        if entry.kind == LINK:
            links.append((path, entry))
        elif entry.kind == FILE:
            budget -= _file(objects, entry, place / path, path, budget, problems)
        else:
            problems.append(Problem(shown(path), "a submodule; what it holds is not in this repository", True))
    for path, _ in links:  # all folders first: none may be made, or entered, through a link
        _parent(place / path, path, problems)
    for path, entry in links:
        _link(objects, entry, place / path, path, problems)
    return problems


def _entries(objects: Objects, tree: str, limits: Limits, problems: list[Problem]) -> Iterator[tuple[str, Entry]]:
    """All that is no folder, breadth first as intake lists it; at most a few times ``limits.files`` trees are read."""
    level, seen = [("", tree)], 0
    for depth in range(limits.depth + 1):
        following: list[tuple[str, str]] = []
        for prefix, oid in level:
            try:
                entries = objects.tree(oid)
            except SweepError as error:
                problems.append(Problem(shown(prefix or "."), f"cannot be listed: {error}", True))
                continue
            for entry in entries:
                seen += 1
                path = f"{prefix}{entry.name}"
                if seen > 4 * limits.files:
                    problems.append(Problem(shown(path), "the folder has too many entries", True))
                    return
                if not _sound(entry.name):
                    problems.append(Problem(shown(path), "its name is no name of a file; it is not read", True))
                elif entry.kind != FOLDER:
                    yield path, entry
                elif depth < limits.depth:
                    following.append((f"{path}/", entry.oid))
                else:
                    reason = f"not listed: folders nest deeper than {limits.depth} levels"
                    problems.append(Problem(shown(path), reason, True))
        level = following


def _file(objects: Objects, entry: Entry, target: Path, path: str, budget: int, problems: list[Problem]) -> int:
    """Write one file; the bytes written. One that is too long is made as long as it is, and empty."""
    try:
        _, size = objects.size(entry.oid)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as stream:
            if size > MAX_FILE or size > budget:
                stream.truncate(size)
                problems.append(Problem(shown(path), f"its contents were not laid out: {size:,} bytes", True))
                return 0
            for chunk in objects.chunks(entry.oid, MAX_FILE):
                stream.write(chunk)
        return size
    except Missing:
        problems.append(Problem(shown(path), "not read: this copy of the repository does not hold it", True))
    except (SweepError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problems.append(Problem(shown(path), f"cannot be laid out: {reason}", True))
    return 0


def _link(objects: Objects, entry: Entry, target: Path, path: str, problems: list[Problem]) -> None:
    """Make the link as it is: intake does not follow it, and says so."""
    try:
        aim = objects.read(entry.oid, MAX_LINK)
        if target.parent.resolve() != target.parent:
            raise SweepError("its folder is a link")
        os.symlink(aim, os.fsencode(target))
    except (SweepError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problems.append(Problem(shown(path), f"a link that cannot be laid out: {reason}", True))


def _parent(target: Path, path: str, problems: list[Problem]) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problems.append(Problem(shown(path), f"cannot be laid out: {error.strerror or error}", True))


def _sound(name: str) -> bool:
    """Whether an entry of a tree is one name of a file system, and none with a meaning of its own."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def shown(path: str) -> str:
    """``path`` as valid text: bytes that are no UTF-8 become escapes."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
