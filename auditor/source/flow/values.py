"""Abstract values: a constant where it is known, labels that say what it is made of, and the objects it may be.

A `Val` stands for any Python value. ``labels`` are small integers interned by the machine (see `Label`); ``deps``
are the loops that its value changes with; ``objs`` the heap objects it may refer to; ``text`` a partly known string
with NUL for the unknown parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Labels = frozenset[int]
EMPTY: Labels = frozenset()


class _Unknown:
    """The constant of a value that is not known."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Any = _Unknown()
HOLE = "\x00"
LONGEST = 100_000
"""Items of a constant, characters of a text."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a value is made of.

    kind: ``src`` data origin, ``acc`` token access, ``upd`` state update, ``nll`` loss of a target, ``look``
    table look-up, ``par`` parameters of a weight cell, ``stat`` accumulated activation statistics, ``hash``
    passed through a hash, ``byte`` made of the bytes of a token, ``prop`` a fixed table's entry for a token,
    ``mix`` a suspect sum, ``exp`` a probability that was a loss, ``odd`` experts of which one is no loss,
    ``tune`` chosen by scores, ``ext`` an external file, ``gen`` generated or random tokens.
    """

    kind: str
    key: tuple[Any, ...]


class Obj:
    """A heap object; identity matters, contents change in place."""

    __slots__ = ("attrs", "birth", "cls", "data", "deps", "elem", "items", "kind", "labels", "name", "weights")

    def __init__(self, kind: str, birth: int, name: str = "") -> None:
        self.kind = kind
        self.birth = birth
        self.name = name
        self.attrs: dict[str, Val] = {}
        self.items: dict[Any, Val] | None = None
        self.elem: Val | None = None
        self.labels: Labels = EMPTY
        self.deps: Labels = EMPTY
        self.cls: Obj | None = None
        self.weights: WeightCell | None = None
        self.data: Any = None

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


@dataclass(eq=False, slots=True)
class WeightCell:
    """The trainable state of one model (all of its submodules share it) or of one free tensor."""

    id: int
    vector: bool
    labels: Labels = EMPTY
    grads: Labels = EMPTY
    parent: WeightCell | None = None
    owners: list[Obj] = field(default_factory=list)
    other: Labels = EMPTY
    """What alternatives of the branch that is being walked have left."""
    made_in: Labels = EMPTY
    """Loops in which it was made: it does not outlive their turns."""

    def root(self) -> WeightCell:
        """The cell that this one was merged into."""
        cell = self
        while cell.parent is not None:
            cell = cell.parent
        return cell


class Val:
    """An abstract value; immutable. A constant or text longer than `LONGEST` is not kept: doubled texts fill memory."""

    __slots__ = ("const", "deps", "labels", "objs", "text")

    def __init__(
        self,
        const: Any = UNKNOWN,
        labels: Labels = EMPTY,
        deps: Labels = EMPTY,
        objs: tuple[Obj, ...] = (),
        text: str | None = None,
    ) -> None:
        self.const = UNKNOWN if isinstance(const, (str, bytes, tuple)) and len(const) > LONGEST else const
        self.labels = labels
        self.deps = deps
        self.objs = objs
        self.text = text if text is None or len(text) <= LONGEST else HOLE

    @property
    def known(self) -> bool:
        """Whether the constant is known."""
        return self.const is not UNKNOWN

    @property
    def string(self) -> str | None:
        """The string, with NUL for unknown parts, or None when nothing of it is known."""
        if isinstance(self.const, str):
            return self.const
        return self.text

    def with_labels(self, labels: Labels, deps: Labels = EMPTY) -> Val:
        """The same value made of more."""
        if labels <= self.labels and deps <= self.deps:
            return self
        return Val(self.const, self.labels | labels, self.deps | deps, self.objs, self.text)

    def __repr__(self) -> str:
        return f"Val({self.const!r}, {set(self.labels)}, deps={set(self.deps)}, {self.objs}, {self.text!r})"


NOTHING = Val()
NONE = Val(None)
TRUE = Val(True)
FALSE = Val(False)


def same_const(a: Any, b: Any) -> bool:
    """Whether two known constants are one value of one type."""
    return type(a) is type(b) and bool(a == b)


def join(a: Val, b: Val) -> Val:
    """The value that is ``a`` or ``b``."""
    if a is b:
        return a
    const = a.const if a.known and b.known and same_const(a.const, b.const) else UNKNOWN
    objs = a.objs
    if b.objs and b.objs != a.objs:
        objs = a.objs + tuple(o for o in b.objs if o not in a.objs)
        objs = objs[-6:]
    text = a.string or b.string
    return Val(const, a.labels | b.labels, a.deps | b.deps, objs, text)


def join_all(vals: Iterable[Val]) -> Val:
    """The value that is any of ``vals`` (nothing known of an empty choice)."""
    result: Val | None = None
    for val in vals:
        result = val if result is None else join(result, val)
    return NOTHING if result is None else result


def union(vals: Iterable[Val]) -> tuple[Labels, Labels]:
    """Labels and dependencies of all of ``vals``, without their objects' contents."""
    labels, deps = EMPTY, EMPTY
    for val in vals:
        if val.labels:
            labels = labels | val.labels if labels else val.labels
        if val.deps:
            deps = deps | val.deps if deps else val.deps
    return labels, deps
