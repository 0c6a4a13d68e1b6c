"""The values that scale-down makes: a plan, the changes in it, and the failure after which it is made again."""

from __future__ import annotations

from dataclasses import dataclass, field

from auditor.behaviour.toyworld.layout import Places
from auditor.behaviour.toyworld.spec import WorldSpec

RUN = "/golf/run"
"""The submission's folder inside the sandbox."""


@dataclass(frozen=True, slots=True)
class Change:
    """One knob that got a toy value."""

    name: str
    """Environment variable, option or constant."""
    old: str | None
    """The value of the claimed run, where it is known."""
    new: str
    role: str
    how: str
    """``env``, ``rewrite`` or ``argv``."""
    where: str
    """``file:line`` of the knob."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to run one submission at toy scale."""

    files: dict[str, str]
    """Guest path relative to `RUN` to text: the entry and its modules, rewritten where needed."""
    copies: tuple[str, ...]
    """Other small files of the folder to copy as they are, relative to it."""
    script: str
    argv: tuple[str, ...]
    env: dict[str, str]
    settings: tuple[tuple[str, str, str], ...]
    """Launch settings in force: (name, value, where it stands)."""
    changes: tuple[Change, ...]
    world: WorldSpec
    data_paths: Places
    """Where the script looks for shards, tokenizer and byte side files."""
    seq_len: int | None
    iterations: int | None
    attempt: int = 0
    folders: tuple[str, ...] = ()
    """Output folders that must exist, relative to `RUN` or absolute."""
    level: int = 0
    """0 tiny, 1 all layers, 2 small, 3 dimensions as claimed (tiny data)."""
    tweaks: dict[str, int] = field(default_factory=dict)
    """Knob name to the index of the alternative value that a retry chose."""
    failed: tuple[str, ...] = ()
    """Signatures of the failures before this attempt (see `retry`)."""
    dropped: tuple[str, ...] = ()
    """Launch settings, read off a log, that the script refused."""
    notes: tuple[str, ...] = ()
    """Sentences on what could not be resolved."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a traceback: file relative to `RUN` (or absolute), line from 1, function, source line."""

    file: str
    line: int
    function: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """How a toy run ended early. ``error`` is the exception's type; frames run from the outermost to the innermost."""

    error: str
    message: str
    frames: tuple[Frame, ...] = ()
