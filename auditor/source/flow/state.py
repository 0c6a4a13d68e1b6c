"""What one walk keeps about where it is: activations, loops, recorded events."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from auditor.source.facts import Site
from auditor.source.flow.values import EMPTY, HOLE, Labels, Obj, Val


class BudgetSpentError(Exception):
    """The walk took too many steps; facts found so far stand, but are not complete."""


Position = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class LoopState:
    """A loop nest level that is being walked."""

    id: int
    site: Site
    turns: int | None
    turn: int = 0
    number: int = 0
    """Turns that were walked before this one."""
    node: ast.AST | None = None


@dataclass(slots=True)
class Frame:
    """One activation: its scopes and where it stands."""

    function: str
    file: str
    env: dict[str, Val]
    globals: dict[str, Val]
    closure: tuple[dict[str, Val], ...] = ()
    node: ast.AST | None = None
    loops_at_entry: int = 0
    yields: list[Val] | None = None
    global_names: set[str] = field(default_factory=set)
    nonlocal_names: set[str] = field(default_factory=set)
    self_obj: Obj | None = None
    cls: Obj | None = None
    result: Val | None = None
    at_yield: Callable[[Val], None] | None = None
    """The body of the ``with`` statement that this generator serves."""
    loads: bool = False
    """Data files were read in it."""
    left: list[dict[str, Val]] = field(default_factory=list)
    """Environments of paths that left the current loop turn early."""


@dataclass(slots=True)
class Event:
    """An event as recorded; converted to facts at the end."""

    id: int
    what: str
    site: Site
    position: Position
    loops: tuple[int, ...]
    labels: Labels
    stack: tuple[Site, ...]
    guard: str
    data: dict[str, Any]
    turns: tuple[tuple[int, int], ...] = ()
    """For each enclosing loop, 0 in its first turn and 1 in any later one."""


def signature(val: Val) -> tuple[Any, ...]:
    """What a value is, comparable while its objects live."""
    const = val.const if isinstance(val.const, (str, int, float, bool, type(None))) else id(val.const)
    if not val.objs:
        return (type(val.const), const, val.labels, val.deps, val.text)
    return (type(val.const), const, val.labels, val.deps, val.text, tuple((id(o), o.labels, o.deps) for o in val.objs))


def fits(pattern: str, name: str) -> bool:
    """Whether a partly known name can be ``name`` (holes match anything)."""
    parts = pattern.split(HOLE)
    if len(parts) == 1:
        return pattern == name
    if not (name.startswith(parts[0]) and name.endswith(parts[-1])):
        return False
    at = len(parts[0])
    for part in parts[1:-1]:
        at = name.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return any(parts)


def merge_labels(many: Iterable[Labels]) -> Labels:
    """Union of label sets."""
    result = EMPTY
    for labels in many:
        if labels:
            result = result | labels if result else labels
    return result
