"""Elements of iterables, how many turns a loop takes, and the marking of token accesses."""

from __future__ import annotations

import ast
import re

from auditor.source.facts import Site
from auditor.source.flow.machine import Frame, LoopState, Machine
from auditor.source.flow.values import EMPTY, NOTHING, UNKNOWN, Labels, Obj, Val, join, join_all


def turn_count(iterable: Val) -> int | None:
    """How often a loop over ``iterable`` turns, when that is certain."""
    if isinstance(iterable.const, (tuple, str, bytes, range)):
        return len(iterable.const)
    if len(iterable.objs) == 1:
        obj = iterable.objs[0]
        if obj.kind == "range" and obj.data is not None:
            return len(range(*obj.data))
        if (
            obj.kind in ("list", "tuple", "set")
            and obj.items is not None
            and obj.elem is None
            and obj.data == "literal"
        ):
            return len(obj.items)
    return None


def element(m: Machine, node: ast.AST, iterable: Val, state: LoopState) -> Val:
    """The loop variable's value in this turn."""
    mark = frozenset({state.id})
    if isinstance(iterable.const, (tuple, str, range)) and len(iterable.const) and not iterable.objs:
        return _of_constants(m, list(iterable.const), iterable, state, mark)
    for obj in iterable.objs:
        if obj.kind == "range":
            return _of_range(m, obj, iterable, state, mark)
        if obj.kind == "enumerate":
            index = _later(m, state, mark, obj.data if isinstance(obj.data, int) else 0)
            return make_tuple(m, [index, element(m, node, obj.elem or NOTHING, state)])
        if obj.kind == "zip":
            return make_tuple(m, [element(m, node, v, state) for v in (obj.items or {}).values()])
    inner = peek(m, iterable)
    choices = choices_of(iterable)
    if choices and state.number >= 0:
        one = choices[min(state.number, len(choices) - 1)]
        return Val(one.const, EMPTY, iterable.deps | mark, (), one.text)
    if _holds_singles(iterable):
        return Val(
            inner.const if turn_count(iterable) == 1 else UNKNOWN,
            _revary(m, inner.labels, mark),
            inner.deps | mark,
            (),
            inner.string,
        )
    val = Val(
        inner.const if turn_count(iterable) == 1 else UNKNOWN,
        inner.labels | iterable.labels,
        inner.deps | mark,
        inner.objs,
        inner.string,
    )
    for obj in val.objs:
        if obj.kind in ("tuple", "list") and (obj.items or obj.elem):
            return _spread(m, node, val, obj, mark)
    return access(m, node, val, mark)


NAMES = 6
"""Texts of one loop that are told apart."""


def choices_of(iterable: Val) -> list[Val]:
    """What a loop goes through, when that is a few texts, or lists of files put together; empty for all others."""
    if isinstance(iterable.const, tuple) and not iterable.objs:
        parts = [Val(const) for const in iterable.const]
    elif _holds_singles(iterable):
        parts = [NOTHING if v.labels else v for v in (iterable.objs[0].items or {}).values()]
    elif len(iterable.objs) > 1 and all(o.kind == "list" and not o.items for o in iterable.objs):
        parts = [Val(text=o.elem.string) if o.elem is not None else NOTHING for o in iterable.objs]
        return parts if all(v.text is not None for v in parts) and len({v.text for v in parts}) > 1 else []
    else:
        return []
    return [Val(v.const) for v in parts] if all(isinstance(v.const, str) for v in parts) else []


def _holds_singles(iterable: Val) -> bool:
    """Whether an iterable is a few values written out one by one: going through them is no access to a text."""
    for obj in iterable.objs:
        if obj.kind not in ("tuple", "list") or obj.data != "literal" or obj.elem is not None or not obj.items:
            return False
        if any(v.objs for v in obj.items.values()):
            return False
    return len(iterable.objs) == 1


def _revary(m: Machine, labels: Labels, mark: Labels) -> Labels:
    """The same accesses, varying with one loop more."""
    old = m.of_kind(labels, "acc")
    if not old:
        return labels
    keys = [m.labels[n].key for n in old]
    new = frozenset(m.label("acc", key[0], key[1] | mark, *key[2:]) for key in keys)
    return m.without(labels, "acc") | new


def _of_constants(m: Machine, items: list[object], iterable: Val, state: LoopState, mark: Labels) -> Val:
    if state.turn == 0 or len(items) == 1:
        return Val(items[0], iterable.labels, iterable.deps | mark)
    if all(isinstance(i, int) for i in items) and items[0] not in items[1:]:
        return _later(m, state, mark, items[0])
    text = next((i for i in items[1:] if isinstance(i, str)), None)
    return Val(items[1] if len(items) == 2 else UNKNOWN, iterable.labels, iterable.deps | mark, (), text)


def _of_range(m: Machine, obj: Obj, iterable: Val, state: LoopState, mark: Labels) -> Val:
    deps = iterable.deps | obj.deps | mark
    first = obj.data[0] if obj.data is not None else obj.attrs["start"].const
    if first is UNKNOWN:
        return Val(UNKNOWN, EMPTY, deps)
    if state.turn == 0:
        return Val(first, EMPTY, deps)
    later = m.new("later")
    later.data = first
    return Val(UNKNOWN, EMPTY, deps, (later,))


def _later(m: Machine, state: LoopState, mark: Labels, first: object) -> Val:
    if state.turn == 0:
        return Val(first, EMPTY, mark)
    later = m.new("later")
    later.data = first
    return Val(UNKNOWN, EMPTY, mark, (later,))


def _spread(m: Machine, node: ast.AST, val: Val, obj: Obj, mark: Labels) -> Val:
    """An element that is itself a tuple: its parts vary with the loop too."""
    if obj.items and obj.kind == "tuple":
        parts = [
            access(m, node, Val(v.const, v.labels, v.deps | mark, v.objs, v.text), mark) for v in obj.items.values()
        ]
        return make_tuple(m, parts)
    return access(m, node, val, mark)


def peek(m: Machine, val: Val) -> Val:
    """Any element of ``val``, without marking it."""
    found: Val | None = None
    for obj in val.objs:
        inner: Val | None = None
        if obj.kind in ("list", "tuple", "set", "cell", "opaque"):
            parts = list((obj.items or {}).values()) + ([obj.elem] if obj.elem is not None else [])
            inner = join_all(parts) if parts else None
            base = Val(UNKNOWN, obj.labels, obj.deps)
            inner = base if inner is None else inner.with_labels(obj.labels, obj.deps)
        elif obj.kind == "dict":
            key = obj.attrs.get("%key", NOTHING)
            consts = [k for k in (obj.items or {}) if isinstance(k, str)]
            inner = Val(UNKNOWN, key.labels, key.deps, key.objs, consts[0] if consts else key.string)
        elif obj.kind == "pairs":
            source = obj.elem or NOTHING
            inner = make_tuple(m, [peek(m, source), dict_values(source)])
        elif obj.kind == "instance":
            inner = Val(UNKNOWN, m.deep_obj(obj, 2))
        if inner is not None:
            found = inner if found is None else join(found, inner)
    if found is None:
        return Val(UNKNOWN, val.labels, val.deps, (), val.string)
    return found.with_labels(val.labels, val.deps)


def dict_values(val: Val) -> Val:
    """Any value of a dictionary."""
    parts = [v for o in val.objs for v in [*(o.items or {}).values(), *([o.elem] if o.elem is not None else [])]]
    base = Val(UNKNOWN, val.labels, val.deps)
    inner = join_all(parts) if parts else base
    labels = frozenset().union(*(o.labels for o in val.objs)) if val.objs else EMPTY
    return inner.with_labels(labels | val.labels, val.deps)


def make_tuple(m: Machine, parts: list[Val], kind: str = "tuple") -> Val:
    """A tuple (or list) value of known parts."""
    obj = m.new(kind)
    obj.items = dict(enumerate(parts))
    obj.data = "literal"
    const = (
        tuple(p.const for p in parts)
        if kind == "tuple" and parts and all(p.known and not p.labels for p in parts)
        else UNKNOWN
    )
    deps = frozenset().union(*(p.deps for p in parts)) if parts else EMPTY
    return Val(const, EMPTY, deps, (obj,))


def is_tokens(m: Machine, labels: Labels) -> bool:
    """Whether a value is tokens as loaded: it has an origin and has passed through no model or score."""
    if not labels:
        return False
    table = m.labels
    seen = False
    for n in labels:
        kind = table[n].kind
        if kind in ("par", "nll", "upd", "stat", "look"):
            return False
        seen = seen or kind in ("src", "gen")
    return seen


def access(m: Machine, node: ast.AST, val: Val, deps: Labels, bounds: tuple[str, str, str] | None = None) -> Val:
    """Mark a token access: the newest replaces the older ones, and varies with all that they varied with.

    ``bounds`` are the function and the texts of a slice's variable bounds; a slice of that slice keeps them. A column
    of what was put together from several accesses (``torch.cat([context, target], 1)[:, k]``) may be of any of them.
    """
    if not is_tokens(m, val.labels):
        return val
    older = m.varies(val.labels)
    site = m.site(node)
    turns = frozenset(loop.id for loop in m.loops if loop.turn)
    if bounds is None:
        bounds = next((m.labels[n].key[4] for n in m.of_kind(val.labels, "acc") if m.labels[n].key[4]), None)
    entry = _entry(m, site, val.labels)
    label = m.label("acc", (site.file, site.line, site.column, m.stack()[-3:]), older | deps, turns, entry, bounds)
    kept = _parts(m, node, val.labels)
    return Val(val.const, m.without(val.labels, "acc") | {label} | kept, val.deps | deps, val.objs, val.text)


def _parts(m: Machine, node: ast.AST, labels: Labels) -> Labels:
    """The accesses of a value of which ``node`` takes a column, where they are of several places."""
    index = node.slice if isinstance(node, ast.Subscript) else None
    if not isinstance(index, ast.Tuple) or len(index.elts) != 2 or isinstance(index.elts[1], ast.Slice):
        return EMPTY
    first = index.elts[0]
    if not (isinstance(first, ast.Slice) and first.lower is None and first.upper is None):
        return EMPTY
    found = m.of_kind(labels, "acc")
    return frozenset(found) if len({m.labels[n].key[0] for n in found}) > 1 else EMPTY


_LOADS = re.compile(r"load|read|shard", re.I)


def _entry(m: Machine, site: Site, labels: Labels) -> Site:
    """Where the tokens left their loader: the call of it, kept by later accesses elsewhere.

    A loader is a method of an object that is no model, or a function that reads files.
    """
    depth = len(m.frames) - 1
    while depth > 0 and _in_loader(m.frames[depth]):
        depth -= 1
    if depth == len(m.frames) - 1:
        entries = [m.labels[n].key[3] for n in m.of_kind(labels, "acc")]
        return entries[-1] if entries else site
    outside = m.frames[depth]
    return site if outside.node is None else m.site(outside.node, outside)


def _in_loader(frame: Frame) -> bool:
    owner = frame.self_obj
    if owner is not None and owner.kind == "instance":
        return owner.weights is None
    return frame.loads or bool(_LOADS.search(frame.function.rpartition(".")[2]))


def generic(m: Machine, args: list[Val], kwargs: dict[str, Val]) -> Val:
    """The value made of all arguments."""
    labels, deps = EMPTY, EMPTY
    text: str | None = None
    for val in (*args, *kwargs.values()):
        labels, deps = labels | m.deep(val), deps | val.deps
        for obj in val.objs:
            deps = deps | obj.deps
        text = text or val.string
    return Val(UNKNOWN, labels, deps, (), text)
