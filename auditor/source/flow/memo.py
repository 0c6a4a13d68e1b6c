"""Remember calls inside a model's forward that changed nothing, and reuse them for arguments of the same shape.

Two calls have the same shape when constants and objects agree and each argument's labels are of the same kinds. The
remembered result names which arguments' labels it took; a later call gets its own arguments' labels in their place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from auditor.source.flow.machine import Machine, merge_labels
from auditor.source.flow.values import EMPTY, UNKNOWN, Labels, Obj, Val


@dataclass(frozen=True, slots=True)
class Remembered:
    """A pure call: its result, the labels of its inputs, and everything that its key's ids refer to."""

    result: Val
    inputs: tuple[Labels, ...]
    deps: Labels
    alive: tuple[Any, ...]


def key_of(m: Machine, func: Obj, inputs: list[Val], names: tuple[str, ...]) -> tuple[Any, ...]:
    """What must agree for a remembered call to stand for this one."""
    return (id(func), m.attributes_version, bool(m.uncertain), names, *(_shape(m, v) for v in inputs))


def _shape(m: Machine, val: Val) -> tuple[Any, ...]:
    const: Any = val.const if isinstance(val.const, (str, int, float, bool, type(None))) else id(val.const)
    objs = tuple(
        ("cell", _kinds(m, o.labels))
        if o.kind == "cell" and o.weights is None
        else (id(o), _kinds(m, o.labels), None if o.weights is None else o.weights.root().id)
        for o in val.objs
    )
    return (type(val.const), const, _kinds(m, val.labels), val.text, objs)


def _kinds(m: Machine, labels: Labels) -> frozenset[str]:
    known = m.kinds_cache.get(labels)
    if known is None:
        table = m.labels
        known = frozenset(f"src:{table[n].key[0]}" if table[n].kind == "src" else table[n].kind for n in labels)
        m.kinds_cache[labels] = known
    return known


def labels_of_inputs(m: Machine, inputs: list[Val]) -> tuple[tuple[Labels, ...], Labels]:
    """Label sets of the inputs, with the weights behind them, and all that they vary with."""
    sets: list[Labels] = []
    deps = EMPTY
    for val in inputs:
        labels = val.labels
        for obj in val.objs:
            labels = labels | obj.labels
            if obj.weights is not None:
                cell = obj.weights.root()
                labels = labels | cell.labels | {m.par(cell)}
        sets.append(labels)
        deps = deps | val.deps
    return tuple(sets), deps


def replay(m: Machine, known: Remembered, inputs: list[Val]) -> Val:
    """The remembered result with this call's labels."""
    sets, deps = labels_of_inputs(m, inputs)
    return _rewrite(m, known.result, known, sets, deps)


def _rewrite(m: Machine, val: Val, known: Remembered, sets: tuple[Labels, ...], deps: Labels) -> Val:
    taken = [new for old, new in zip(known.inputs, sets, strict=True) if old and old <= val.labels]
    own = val.labels - merge_labels(known.inputs)
    extra = deps if val.deps else EMPTY
    objs = tuple(_rewrite_tuple(m, o, known, sets, deps) for o in val.objs)
    return Val(val.const, own | merge_labels(taken), (val.deps - known.deps) | extra, objs, val.text)


def _rewrite_tuple(m: Machine, obj: Obj, known: Remembered, sets: tuple[Labels, ...], deps: Labels) -> Obj:
    if obj.kind != "tuple" or obj.items is None:
        return obj
    copy = m.new("tuple")
    copy.data = obj.data
    copy.items = {k: _rewrite(m, v, known, sets, deps) for k, v in obj.items.items()}
    return copy


def can_remember(result: Val, depth: int = 2) -> bool:
    """Whether a result is plain enough to be rewritten: values, and tuples of them."""
    for obj in result.objs:
        if obj.kind == "tuple" and obj.items is not None and depth:
            if not all(can_remember(v, depth - 1) for v in obj.items.values()):
                return False
        elif obj.kind not in ("function", "class", "module", "builtin", "later"):
            return False
    return result.const is UNKNOWN or not result.objs or all(o.kind == "tuple" for o in result.objs)
