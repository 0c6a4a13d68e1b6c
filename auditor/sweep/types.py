"""What a sweep hands around: pull requests, the folders that they add, what an audit of one of them gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from auditor.core.submission import Problem
from auditor.intake.find import Found


class SweepError(Exception):
    """The sweep cannot be made as asked; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Pull:
    """One pull request, or one folder of a folder of folders."""

    ref: str
    """Full name of the ref; of a folder its name."""
    head: str
    """Commit at the ref; of a folder a digest of its contents."""
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """One submission folder that a pull request adds."""

    path: str
    """Inside the repository, with forward slashes."""
    content: str
    """Digest of everything that an audit of it reads: names, modes and bytes below it, and the files beside it that
    the pull request changes. Two folders of one path and content give the same report."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a pull request adds, and against which commit that was told."""

    base: str = ""
    author: str = ""
    title: str = ""
    date: str = ""
    """ISO date and time of the head commit."""
    folders: tuple[Folder, ...] = ()
    note: str = ""
    """Why there is none, or what was odd on the way."""

    def as_dict(self) -> dict[str, Any]:
        """For the wire; `planned` reads it back."""
        return asdict(self)


def planned(data: Mapping[str, Any]) -> Planned:
    """A `Planned` from what `Planned.as_dict` gave."""
    folders = tuple(Folder(str(f["path"]), str(f["content"])) for f in data["folders"])
    return Planned(data["base"], data["author"], data["title"], data["date"], folders, data["note"])


@dataclass(frozen=True, slots=True)
class Opened:
    """A submission folder on disk, ready for the audit, and what could not be laid out of it."""

    found: Found
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class Audited:
    """What one audit gave. ``error`` is empty, or says in a sentence why there is no report."""

    report: dict[str, Any] | None = None
    error: str = ""
    seconds: float = 0.0
    """Wall time, laying out included."""
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    """Largest resident set of the process that audited, by the operating system."""
    facts: dict[str, Any] = field(default_factory=dict)
    """``program``: digest of the entry's normal form; ``functions``: name -> [digest, size]."""


class Source(Protocol):
    """Where submissions come from. Every worker opens its own."""

    def pulls(self) -> list[Pull]:
        """All pull requests. Raises `SweepError`."""
        ...

    def plan(self, pull: Pull) -> Planned:
        """The folders that one adds. Raises `SweepError` when that cannot be told."""
        ...

    def open(self, pull: Pull, path: str, room: str) -> Opened:
        """Lay one of these folders out below the empty folder ``room``, or point at it. Raises `SweepError`."""
        ...

    def close(self) -> None:
        """Give back what is held."""
        ...
