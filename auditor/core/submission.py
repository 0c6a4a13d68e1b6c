"""A submission as intake hands it to the witnesses: text, bytes and provenance, nothing executed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from auditor.core.types import PackedInfo, Place


class Role(StrEnum):
    """What a source file is to the run."""

    ENTRY = "entry"
    """The script that the launch starts (or the real script behind a shim that only loads it)."""
    MODULE = "module"
    """A Python file beside the entry that the entry imports, directly or not."""
    NATIVE = "native"
    """C, C++, CUDA or Triton text beside the entry that the run loads."""
    DATA_PREP = "data_prep"
    """Code that prepares data or tokenizers before the run."""
    OTHER = "other"
    """Source that nothing was seen to reach."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One source text. ``text`` is the decoded text when the shipped file is packed."""

    path: str
    """Relative to the submission folder, with forward slashes."""
    text: str
    role: Role
    shipped_bytes: int
    sha256: str
    """Of the shipped bytes."""
    packed: PackedInfo | None = None
    shipped_text: str = ""
    """The text as shipped (equal to ``text`` unless packed)."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """One training log, lines without their ends. ``seed`` from its name or text when it states one."""

    path: str
    lines: tuple[str, ...]
    sha256: str
    seed: int | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class JsonDoc:
    """``submission.json``, read tolerantly. ``data`` is None when nothing could be read out of it.

    ``problems`` holds one (line, reason) for each defect that reading had to step over (BOM, NaN, trailing comma,
    duplicate key, not an object, ...). ``lines`` maps a top-level key to the line it stands on.
    """

    path: str
    raw: str
    data: dict[str, Any] | None
    problems: tuple[tuple[int, str], ...] = ()
    lines: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """One launch setting and where it stands."""

    name: str
    value: str
    origin: Place
    how: str
    """``run_script``, ``readme``, ``submission.json``, ``log``, ``preset``, or ``implied`` (a log shows what ran)."""


@dataclass(frozen=True, slots=True)
class Launch:
    """The settings under which the claimed run was started; the script's own defaults are not repeated here.

    ``env`` holds environment variables by name; ``argv`` command-line arguments; ``logged`` what the log's own
    dump of hyper-parameters says, by attribute name (it wins over ``env``: it is what ran).
    """

    env: dict[str, Setting] = field(default_factory=dict)
    argv: tuple[str, ...] = ()
    logged: dict[str, Setting] = field(default_factory=dict)
    world_size: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShippedFile:
    """One file of the folder, whatever it is."""

    path: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something intake could not read or refused to follow, with the reason in one sentence."""

    file: str
    reason: str
    unread: bool = False
    """Content that should have been heard was not read, wholly or in part: the audit cannot be a pass."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Everything known about one submission folder without running anything of it."""

    root: Path
    name: str
    track: str | None
    """``track_10min_16mb``, ``track_non_record_16mb`` or None when the path names none."""
    files: tuple[ShippedFile, ...]
    entry: SourceFile | None
    modules: tuple[SourceFile, ...] = ()
    """All other source files, each with its role."""
    metadata: JsonDoc | None = None
    logs: tuple[LogFile, ...] = ()
    readme: str | None = None
    readme_path: str | None = None
    launch: Launch = field(default_factory=Launch)
    problems: tuple[Problem, ...] = ()
    outside_files: tuple[str, ...] = ()
    """Files that a pull request changes outside its record folder (only known in a checkout)."""


SPARE_CHARS = 400_000
"""Text of files that nothing was seen to reach, up to which they are read all the same (dynamic imports)."""


def near_sources(submission: Submission) -> tuple[SourceFile, ...]:
    """The files beside the entry that the witnesses read: what it reaches, and the rest when that is not much.

    A folder may carry fifty old copies of its script; reading them would take half a minute and tell nothing.
    """
    spare = sum(len(f.text) for f in submission.modules if f.role is Role.OTHER)
    return tuple(f for f in submission.modules if f.role is not Role.OTHER or spare <= SPARE_CHARS)
