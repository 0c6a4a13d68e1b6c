"""Reading containers: element selection, token accesses, and keyed look-ups in tables made of data.

A look-up is a read under a key made of tokens from an object that holds data (updated from tokens, or loaded). It
is remembered with its key's token accesses, so that a quotient of two look-ups tells which key holds one token
more: the token whose probability the quotient is.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from auditor.source.facts import StateKind
from auditor.source.flow import mixes
from auditor.source.flow.iteration import access, is_tokens, peek
from auditor.source.flow.machine import Machine
from auditor.source.flow.values import EMPTY, NOTHING, UNKNOWN, Labels, Obj, Val, join

_SPLIT = re.compile(r"(?:train|val)\w*[-_.*/\x00]", re.I)
_STRUCTURES = ("dict", "list", "tuple", "function", "class", "instance", "set")


@dataclass(frozen=True, slots=True)
class Key:
    """The token accesses of a look-up's key, all and those that went through a hash."""

    tokens: Labels
    hashed: Labels


def select(m: Machine, base: Val, key: Val) -> Val | None:
    """The element of a container under a key, joined over what is not known; None when there is no container."""
    found: Val | None = None
    for obj in base.objs:
        one: Val | None = None
        if obj.kind in ("dict", "list", "tuple", "opaque") and (obj.items or obj.elem is not None):
            items = obj.items or {}
            if key.known and _hashable(key.const) and key.const in items:
                one = items[key.const]
            elif obj.kind in ("list", "tuple") and isinstance(key.const, int) and key.const < 0 and obj.elem is None:
                one = items.get(len(items) + key.const)
            elif obj.kind == "dict" and items and (name := file_key(key)) is not None and all(map(_names_split, items)):
                one = items.get(name, NOTHING)
            if one is None:
                one = peek(m, Val(objs=(obj,))) if obj.kind != "dict" else _any_value(obj)
            one = one.with_labels(obj.labels, obj.deps) if one.objs or obj.kind != "dict" else one
        if one is not None:
            found = one if found is None else join(found, one)
    return found


def _names_split(key: object) -> bool:
    return isinstance(key, str) and _SPLIT.search(key) is not None


def _hashable(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_hashable, value))
    return isinstance(value, (str, int, float, bool, type(None)))


def _any_value(obj: Obj) -> Val:
    found: Val | None = obj.elem
    for val in (obj.items or {}).values():
        found = val if found is None else join(found, val)
    return NOTHING if found is None else found


def read(m: Machine, node: ast.AST, base: Val, key: Val) -> Val:
    """``base[key]``."""
    if any(o.kind == "environ" for o in base.objs):
        from auditor.source.flow.environment import getenv

        return getenv(m, node, key, None)
    if any(o.kind == "scope" for o in base.objs):
        found = base.objs[0].data.get(key.const) if isinstance(key.const, str) else None
        return NOTHING if found is None else found
    if isinstance(base.const, (tuple, str)) and isinstance(key.const, int):
        try:
            return Val(base.const[key.const], base.labels, base.deps | key.deps)
        except IndexError:
            return NOTHING
    key_labels = m.deep(key)
    if _derived(m, base, key_labels):
        return Val(UNKNOWN, base.labels, base.deps | _key_deps(m, key), base.objs)
    mixes.late(m, key_labels, base.labels)
    found = lookup(m, node, base, key, key_labels)
    if found is not None:
        return found
    by_token = is_tokens(m, key_labels) and m.of_kind(key_labels, "acc")
    element = select(m, base, key)
    if element is not None:
        deps = base.deps | key.deps | element.deps
        val = Val(element.const, element.labels | base.labels, deps, element.objs, element.text)
        if by_token and not val.objs and not m.origins(val.labels) and not m.of_kind(val.labels, "par"):
            return _property(m, node, val, key, key_labels)
        return access(m, node, val, key.deps)
    labels = base.labels
    for obj in base.objs:
        labels = labels | m.deep_obj(obj, 2)
    from auditor.source.flow import scores

    if scores.gathers_target(m, labels, key_labels):
        return scores.score(m, node, labels, key_labels, base.deps | key.deps)
    if by_token and not m.origins(labels) and not m.of_kind(labels, "par", "nll", "look"):
        return _property(m, node, Val(UNKNOWN, labels, base.deps), key, key_labels)
    if is_tokens(m, labels):
        # positions do not make the tokens: only what they vary with matters
        return access(m, node, Val(UNKNOWN, labels, base.deps | key.deps), _key_deps(m, key))
    objs = tuple(o for o in base.objs if o.kind in ("cell", "opaque")) if not is_tokens(m, key_labels) else ()
    return Val(UNKNOWN, labels | m.without(key_labels, "par"), base.deps | _key_deps(m, key), objs, None)


def _property(m: Machine, node: ast.AST, val: Val, key: Val, key_labels: Labels) -> Val:
    """What a fixed table says of a token: its length, its class, its bytes."""
    tokens, _ = key_tokens(m, key, key_labels)
    event = m.event("lookup", node, val.labels | key_labels, variant="fixed", tokens=tokens, hashed=EMPTY, fixed=True)
    event.data["tokens"] |= tokens
    extra = key_labels | {m.label("prop", event.id), m.label("byte")}
    return Val(UNKNOWN, val.labels | extra, val.deps | _key_deps(m, key), (), None)


def _derived(m: Machine, base: Val, key_labels: Labels) -> bool:
    """Whether ``base[key]`` picks, by position, some of the keys that were hashed out of tokens."""
    hashed = m.label("hash") in base.labels and is_tokens(m, base.labels)
    return hashed and not m.of_kind(key_labels, "src") and not any(o.kind in _STRUCTURES for o in base.objs)


def _key_deps(m: Machine, key: Val) -> Labels:
    deps = key.deps
    for obj in key.objs:
        deps = deps | obj.deps
        for part in (obj.items or {}).values():
            deps = deps | part.deps
        if obj.elem is not None:
            deps = deps | obj.elem.deps
    return deps


def lookup(
    m: Machine, node: ast.AST, base: Val, key: Val, key_labels: Labels, *, whole: bool = False
) -> Val | None:
    """A keyed look-up in a table that holds data, as an event; None when this is no such thing.

    ``whole``: the keys themselves are searched, as a dictionary does.
    """
    if not is_tokens(m, key_labels) or not m.of_kind(key_labels, "acc"):
        return None
    rows = {id(o): o.elem.objs for o in base.objs if o.kind == "dict" and o.elem is not None}
    tables = [o for o in base.objs if _is_table(m, o) or any(_is_table(m, i) for i in rows.get(id(o), ()))]
    unpacked = m.label("hash") in key_labels and _holds_data(m, base.labels)
    loaded = unpacked or (not base.objs and (m.of_kind(base.labels, "ext") or _made_of_table(m, base.labels)))
    nested = [o for o in tables if any(i.kind in _STRUCTURES for i in rows.get(id(o), ()))]
    if not tables and not loaded:
        return None
    labels = base.labels
    for obj in tables:
        labels = labels | obj.labels
    for obj in nested:
        labels = labels | m.deep_obj(obj, 2)
    tokens, hashed = key_tokens(m, key, key_labels)
    if (whole or any(o.kind == "dict" for o in tables)) and _composed(m, key, tokens):
        hashed = tokens
    by_bytes = m.label("byte") in key_labels
    event = m.event("lookup", node, labels | key_labels, tokens=tokens, hashed=hashed, byte=by_bytes)
    event.data["byte"] |= by_bytes
    event.data["tokens"] = event.data["tokens"] | tokens
    event.data["hashed"] = event.data["hashed"] | hashed
    result = m.without(labels, "acc", "hash") | {m.label("look", event.id)}
    objs = tuple(i for o in nested for i in (o.elem.objs if o.elem is not None else ()))
    return Val(UNKNOWN, result, base.deps | _key_deps(m, key), objs)


def _composed(m: Machine, key: Val, tokens: Labels) -> bool:
    """Whether a dictionary's key puts several tokens together: a tuple, a text or number made of several accesses."""
    if any(o.kind in ("tuple", "list") for o in key.objs):
        return True
    return len({m.labels[n].key[0] for n in tokens}) > 1


def _is_table(m: Machine, obj: Obj) -> bool:
    return obj.data == "table" or (obj.kind in ("cell", "opaque", "dict") and _holds_data(m, obj.labels))


def found_in(m: Machine, node: ast.AST, args: list[Val]) -> Val | None:
    """``searchsorted(keys, key)``, ``bisect_left(keys, key)``: a look-up when the keys are a table."""
    return lookup(m, node, args[0], args[1], m.deep(args[1]), whole=True) if len(args) >= 2 else None


def _made_of_table(m: Machine, labels: Labels) -> bool:
    """Whether a value was computed from a whole table (``counts / counts.sum()``): still a table."""
    if not _holds_data(m, labels) or m.of_kind(labels, "look"):
        return False
    updates = [m.events[m.labels[n].key[0]] for n in m.of_kind(labels, "upd")]
    return bool(updates) and all(event.data.get("kind") is StateKind.TABLE for event in updates)


def _holds_data(m: Machine, labels: Labels) -> bool:
    kinds = {m.labels[n].kind for n in labels}
    return bool(kinds & {"ext", "src", "upd"}) and not kinds & {"par", "nll"} and "acc" not in kinds


def key_tokens(m: Machine, key: Val, key_labels: Labels) -> tuple[Labels, Labels]:
    """Token accesses of a key: all, and those in parts that went through a hash (or the whole, when it is one)."""
    tokens = frozenset(m.of_kind(key_labels, "acc"))
    parts = [v for o in key.objs if o.kind == "tuple" for v in (o.items or {}).values()]
    hash_label = m.label("hash")
    if not parts:
        return tokens, tokens if hash_label in key_labels else EMPTY
    hashed = EMPTY
    for part in parts:
        labels = m.deep(part)
        if hash_label in labels:
            hashed = hashed | frozenset(m.of_kind(labels, "acc"))
    return tokens, hashed


def ratio(m: Machine, node: ast.AST, above: Labels, below: Labels) -> None:
    """A quotient of look-ups: mark those above whose key is a key below plus one token."""
    tops, bottoms = m.of_kind(above, "look"), m.of_kind(below, "look")
    if not tops or not bottoms:
        return
    logged = frozenset().union(*(m.events[m.labels[n].key[0]].labels for n in m.of_kind(above | below, "nll")), EMPTY)
    for top in tops:
        for bottom in bottoms:
            a, b = m.events[m.labels[top].key[0]], m.events[m.labels[bottom].key[0]]
            if top in logged or a.data.get("fixed") or b.data.get("fixed"):
                continue
            if a is b and not a.data.get("use"):
                a.data["use"] = "distribution"
                m.acted()
            if a is b or not _more_sites(m, a.data["tokens"], b.data["tokens"]):
                continue
            extra = a.data["tokens"] - b.data["tokens"]
            if a.data.get("ratio") != "hashed":
                a.data["ratio"] = "hashed" if extra & a.data["hashed"] else "exact"
            m.acted()


def _more_sites(m: Machine, above: Labels, below: Labels) -> bool:
    """Whether the first key is made of more token accesses (by place) than the second."""
    return len({m.labels[n].key[0] for n in above}) > len({m.labels[n].key[0] for n in below})


def hint(m: Machine, labels: Labels) -> None:
    """A value read from a table is reduced to a token id."""
    for n in m.of_kind(labels, "look"):
        event = m.events[m.labels[n].key[0]]
        if event.data.get("use") != "hint" and not event.data.get("fixed"):
            event.data["use"] = "hint"
            m.acted()


def chosen(m: Machine, node: ast.AST, test: Labels, a: Labels, b: Labels) -> Labels:
    """One of two scores is kept; which one may depend on the scores themselves. The mark of such a choice."""
    first, second = set(m.of_kind(a, "nll")), set(m.of_kind(b, "nll"))
    by = set(m.of_kind(test, "nll"))
    if first and second and first != second and by & first and by & second:
        event = m.event("choice", node, a | b, first=frozenset(first), second=frozenset(second))
        return frozenset({m.label("pick", event.id)})
    return EMPTY


def least(m: Machine, node: ast.AST, name: str, parts: list[Labels]) -> Labels:
    """A minimum over scores of the same targets. The mark of such a choice."""
    scored = [frozenset(m.of_kind(p, "nll")) for p in parts]
    scored = [s for s in scored if s]
    if len(scored) >= 2 and any(s != scored[0] for s in scored[1:]) and name not in ("max", "maximum"):
        rest = frozenset().union(*scored[1:])
        event = m.event("choice", node, frozenset().union(*parts), first=scored[0], second=rest)
        return frozenset({m.label("pick", event.id)})
    return EMPTY


def file_key(key: Val) -> str | None:
    """The text of a key that names a data split, also when parts of it are unknown: a cache of files by path."""
    text = None if key.known and not isinstance(key.const, str) else key.string
    return text if text is not None and _SPLIT.search(text) else None
