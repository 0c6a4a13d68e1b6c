"""The abstract machine's state: labels, heap, files, loops, the call stack, and the events recorded so far.

Nothing here walks syntax; `flow.statements` and `flow.expressions` do and call these primitives.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from auditor.core.submission import Launch
from auditor.source.facts import Origin, Site, StateKind
from auditor.source.flow.state import BudgetSpentError, Event, Frame, LoopState, Position, fits, merge_labels, signature
from auditor.source.flow.values import EMPTY, HOLE, NOTHING, Label, Labels, Obj, Val, WeightCell, join

MAX_STEPS = 450_000
MAX_DEPTH = 48


__all__ = ["BudgetSpentError", "Event", "Frame", "LoopState", "Machine", "Position", "merge_labels", "signature"]


class Machine:
    """All state of one walk."""

    def __init__(self, launch: Launch, executed: Mapping[str, frozenset[int]]) -> None:
        self.launch = launch
        self.executed = executed
        self.environ: dict[str, Val] = {}
        self.labels: list[Label] = []
        self.label_ids: dict[Label, int] = {}
        self.frames: list[Frame] = []
        self.loops: list[LoopState] = []
        self.loop_table: dict[int, LoopState] = {}
        self.loop_keys: dict[tuple[Any, ...], LoopState] = {}
        self.events: list[Event] = []
        self.event_keys: dict[tuple[Any, ...], Event] = {}
        self.files: dict[str, Labels] = {}
        self.file_parts: dict[str, list[Labels]] = {}
        """Of files to which several arrays are written one after the other, by their names."""
        self.handled: dict[Obj, int] = {}
        """Open file to the number of arrays that went through it."""
        self.hooks: list[Val] = []
        self.patches: list[tuple[Val, bool]] = []
        """Functions put in the place of layers' ``forward``, and whether they take the layer as first argument."""
        self.grad_hooks: list[Val] = []
        """Functions that run whenever gradients are there."""
        self.in_hook = False
        self.bodies: dict[int, Callable[[Val], None]] = {}
        """Bodies of ``with`` statements that wait for their context manager, by the expression that makes it."""
        self.cells: list[WeightCell] = []
        self.uncertain: list[str] = []
        self.open_settings: list[str] = []
        self.idle: list[str] = []
        self.notes: dict[str, None] = {}
        self.disabled: dict[tuple[str, int], tuple[Site, str, str]] = {}
        self.setting_names: dict[str, frozenset[str]] = {}
        self.entry_tree: ast.Module | None = None
        self.modules: dict[str, Obj] = {}
        self.module_sources: dict[str, tuple[str, ast.Module]] = {}
        self.memo: dict[tuple[Any, ...], Any] = {}
        self.kinds_cache: dict[Labels, frozenset[str]] = {}
        self.attributes_version = 0
        self.unread_module = False
        """A module that the script imports does not parse: what it does is not covered."""
        self.unknown_launch = False
        """Neither a log nor a command tells what was switched on: a default that is off decides nothing."""
        self.update_places: set[Position] = set()
        self.gradients: list[tuple[Labels, list[WeightCell]]] = []
        self.gates: Labels = EMPTY
        self.explained: set[tuple[str, int, int]] = set()
        """Places of sums of which a term was seen to be another expert's probability."""
        self.oldest_change = 1 << 62
        self.effects = 0
        self.steps = 0
        self.serial = 0
        self.forward_depth = 0
        self.live_statistics: set[int] = set()

    # -- labels ---------------------------------------------------------------------------------------------------

    def label(self, kind: str, *key: Any) -> int:
        """Intern a label and return its number."""
        label = Label(kind, key)
        number = self.label_ids.get(label)
        if number is None:
            number = len(self.labels)
            self.labels.append(label)
            self.label_ids[label] = number
        return number

    def of_kind(self, labels: Labels, *kinds: str) -> list[int]:
        """Those of ``labels`` whose kind is one of ``kinds``, in order of creation."""
        table = self.labels
        return sorted(n for n in labels if table[n].kind in kinds)

    def without(self, labels: Labels, *kinds: str) -> Labels:
        """``labels`` less those of ``kinds``."""
        table = self.labels
        return frozenset(n for n in labels if table[n].kind not in kinds)

    def origins(self, labels: Labels) -> frozenset[Origin]:
        """The data origins among ``labels``."""
        table = self.labels
        return frozenset(table[n].key[0] for n in labels if table[n].kind == "src")

    def varies(self, labels: Labels) -> frozenset[int]:
        """Loops with which the token accesses among ``labels`` vary."""
        found: frozenset[int] = EMPTY
        for n in labels:
            if self.labels[n].kind == "acc":
                found = found | self.labels[n].key[1]
        return found

    def has_origin(self, labels: Labels, origin: Origin) -> bool:
        """Whether data of ``origin`` are among ``labels``."""
        table = self.labels
        return any(table[n].kind == "src" and table[n].key[0] == origin for n in labels)

    @contextmanager
    def gate(self, labels: Labels) -> Iterator[None]:
        """While this lasts, what is stored hangs on ``labels``."""
        outer, self.gates = self.gates, self.gates | labels
        try:
            yield
        finally:
            self.gates = outer

    # -- heap -----------------------------------------------------------------------------------------------------

    def new(self, kind: str, name: str = "") -> Obj:
        """A fresh heap object."""
        self.serial += 1
        return Obj(kind, self.serial, name)

    def new_cell(self, vector: bool) -> WeightCell:
        """A fresh weight cell."""
        cell = WeightCell(len(self.cells), vector, made_in=self.all_loops())
        self.cells.append(cell)
        return cell

    def weights_of(self, obj: Obj) -> WeightCell:
        """The weight cell of a model or tensor object, made when it has none."""
        if obj.weights is None:
            obj.weights = self.new_cell(vector=False)
            obj.weights.owners.append(obj)
        return obj.weights.root()

    def merge_cells(self, into: WeightCell, other: WeightCell) -> None:
        """A submodule joins its owner: one cell from now on."""
        a, b = into.root(), other.root()
        if a is b:
            return
        a.labels, a.grads = a.labels | b.labels, a.grads | b.grads
        a.owners.extend(b.owners)
        b.parent = a

    def par(self, cell: WeightCell) -> int:
        """The label "these are parameters of that cell"."""
        return self.label("par", cell.root().id)

    def par_cells(self, labels: Labels) -> list[WeightCell]:
        """The distinct weight cells whose parameters are among ``labels``."""
        found: dict[int, WeightCell] = {}
        for n in labels:
            if self.labels[n].kind == "par":
                cell = self.cells[self.labels[n].key[0]].root()
                found[cell.id] = cell
        return list(found.values())

    def deep(self, val: Val, depth: int = 3) -> Labels:
        """Labels of ``val`` with those of the contents of its objects."""
        if not val.objs:
            return val.labels
        labels = val.labels
        for obj in val.objs:
            labels = labels | self.deep_obj(obj, depth)
        return labels

    def deep_obj(self, obj: Obj, depth: int = 3) -> Labels:
        """Labels of an object's contents."""
        labels = obj.labels
        if obj.weights is not None:
            cell = obj.weights.root()
            labels = labels | cell.labels | {self.par(cell)}
        if depth <= 0 or obj.kind in ("function", "class", "module", "builtin"):
            return labels
        if obj.elem is not None:
            labels = labels | self.deep(obj.elem, depth - 1)
        if obj.items is not None:
            for item in obj.items.values():
                labels = labels | self.deep(item, depth - 1)
        if obj.kind == "instance" and obj.weights is None:
            for attr in obj.attrs.values():
                labels = labels | self.deep(attr, depth - 1)
        return labels

    def taint(self, obj: Obj, labels: Labels, deps: Labels = EMPTY) -> None:
        """Add to what an object's contents are made of."""
        if not labels <= obj.labels or not deps <= obj.deps:
            obj.labels, obj.deps = obj.labels | labels, obj.deps | deps
            self.touched(obj)

    def touched(self, obj: Obj) -> None:
        """Note a change to an object; a call that changes only what it made itself is still pure."""
        self.effects += 1
        self.oldest_change = min(self.oldest_change, obj.birth)

    def acted(self) -> None:
        """Note a change to what every call can see."""
        self.effects += 1
        self.oldest_change = 0

    def set_attr(self, obj: Obj, name: str, val: Val) -> None:
        """Store an attribute; strong when it certainly happens, else joined with what was there."""
        old = obj.attrs.get(name)
        if old is val:
            return
        new = val if not self.uncertain or old is None else join(old, val)
        obj.attrs[name] = new
        if old is None or signature(old) != signature(new):
            self.touched(obj)
            if old is None or not self._alike(old, new):
                self.attributes_version += 1

    def _alike(self, old: Val, new: Val) -> bool:
        """Whether two values of an attribute make no difference to a remembered call."""
        if old.objs != new.objs or ((old.known or new.known) and signature(old)[:2] != signature(new)[:2]):
            return False
        table = self.labels
        return {table[n].kind for n in old.labels} == {table[n].kind for n in new.labels}

    def add_element(self, obj: Obj, val: Val, key: Any = None) -> None:
        """Add an element to a container."""
        if key is not None and obj.items is not None:
            old = obj.items.get(key)
            obj.items[key] = val if old is None or not self.uncertain else join(old, val)
            if len(obj.items) > 256:
                obj.elem = join(obj.elem or NOTHING, val)
                obj.items.pop(key)
        else:
            obj.elem = val if obj.elem is None else join(obj.elem, val)
        self.touched(obj)

    # -- where we are ---------------------------------------------------------------------------------------------

    @property
    def frame(self) -> Frame:
        """The running activation."""
        return self.frames[-1]

    def site(self, node: ast.AST, frame: Frame | None = None) -> Site:
        """The place of a node in the running function."""
        frame = frame or self.frames[-1]
        line = getattr(node, "lineno", 1)
        return Site(
            frame.file, line, getattr(node, "end_lineno", None) or line, getattr(node, "col_offset", 0), frame.function
        )

    def stack(self) -> tuple[Site, ...]:
        """Call sites from the top level down to the running function."""
        return tuple(self.site(f.node, f) for f in self.frames[:-1] if f.node is not None)

    def position(self, node: ast.AST) -> Position:
        """Lexical position along the call path: the order of events within one turn of any shared loop."""
        places = [
            (getattr(f.node, "lineno", 0), getattr(f.node, "col_offset", 0))
            for f in self.frames[:-1]
            if f.node is not None
        ]
        places.append((getattr(node, "lineno", 0), getattr(node, "col_offset", 0)))
        return tuple(places)

    def loop_ids(self) -> tuple[int, ...]:
        """Ids of the loops being walked, outermost first."""
        return tuple(loop.id for loop in self.loops)

    def all_loops(self) -> Labels:
        """The same as a set: what an unknown changing value varies with."""
        return frozenset(loop.id for loop in self.loops)

    def guard(self) -> str:
        """The innermost condition that hangs on a setting or file nobody knows, as text; empty when there is none.

        Conditions on the data themselves (``if valid.any()``) do not count: over a whole run they come true. That a
        turn has nothing to go through (``if not windows:``) may never come true, and does.
        """
        open_ones = self.open_settings or self.idle
        return open_ones[-1] if open_ones else ""

    def note(self, text: str) -> None:
        """Remember a sentence on what could not be followed (each once, at most 60)."""
        if len(self.notes) < 60:
            self.notes.setdefault(text)

    # -- events ---------------------------------------------------------------------------------------------------

    def event(self, what: str, node: ast.AST, labels: Labels, *, variant: Any = None, **data: Any) -> Event:
        """Record an event once per call path, place, and pattern of first and later loop turns."""
        stack = self.stack()
        turns = tuple((loop.id, min(loop.turn, 1)) for loop in self.loops)
        key = (what, stack, getattr(node, "lineno", 0), getattr(node, "col_offset", 0), turns, variant)
        found = self.event_keys.get(key)
        if found is None:
            found = Event(
                len(self.events),
                what,
                self.site(node),
                self.position(node),
                self.loop_ids(),
                labels,
                stack,
                self.guard(),
                data,
                turns,
            )
            self.events.append(found)
            self.event_keys[key] = found
            self.acted()
        elif not labels <= found.labels:
            found.labels = found.labels | labels
            self.acted()
        return found

    def update(
        self,
        node: ast.AST,
        kind: StateKind,
        cause: Labels,
        variant: Any = None,
        made_in: Labels | None = None,
    ) -> Labels:
        """Record that state was changed from data of ``cause``; returns the label to put on that state."""
        if not self.origins(cause):
            return EMPTY
        self.update_places.add(self.position(node))
        event = self.event("update", node, cause, variant=(kind, variant), kind=kind, made_in=made_in)
        return frozenset({self.label("upd", event.id)})

    def source(self, node: ast.AST, origin: Origin, what: str) -> Labels:
        """The label of data of ``origin`` that are loaded here, and the event of reading them."""
        site = self.site(node)
        self.frames[-1].loads = True
        label = self.label("src", origin, site.file, site.line, what)
        self.event("read", node, frozenset({label}), variant=origin, origin=origin)
        return frozenset({label})

    # -- files ----------------------------------------------------------------------------------------------------

    def write_file(self, path: str | None, labels: Labels) -> None:
        """Something made of ``labels`` was written to ``path``."""
        name = _last(path)
        self.files[name] = self.files.get(name, EMPTY) | self.without(labels, "par", "acc")
        self.acted()

    def read_file(self, path: str | None) -> Labels | None:
        """Labels of what was written to ``path`` in this run; None when nothing was."""
        known = [self.files[name] for name in _alike(_last(path), self.files)]
        return frozenset().union(*known) if known else None

    def parts_of(self, path: str | None) -> list[Labels]:
        """The arrays written to ``path``, to be added to."""
        return self.file_parts.setdefault(_last(path), [])

    def parts_written(self, path: str | None) -> list[Labels]:
        """The arrays written to ``path`` in this run, in their order; none where files that fit have other numbers."""
        known = [self.file_parts[name] for name in _alike(_last(path), self.file_parts)]
        if len({len(parts) for parts in known}) != 1:
            return []
        return [frozenset().union(*same) for same in zip(*known, strict=True)]


def _last(path: str | None) -> str:
    """The last part of a path that may have unknown pieces."""
    return (path or HOLE).replace("\\", "/").rpartition("/")[2] or HOLE


def _alike(name: str, known: Iterable[str]) -> list[str]:
    """Those of ``known`` that may be ``name``: itself, else what fits where a piece is unknown."""
    names = list(known)
    if name in names:
        return [name]
    return [other for other in names if fits(name, other) or fits(other, name)] if HOLE in name else []
