"""Operators and comparisons on abstract values."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

from auditor.source.flow import lookups, mixes
from auditor.source.flow.iteration import is_tokens, peek
from auditor.source.flow.machine import Machine
from auditor.source.flow.texts import percent_formatted
from auditor.source.flow.values import HOLE, UNKNOWN, Obj, Val, union

_WIDE = re.compile(r"%[^%a-zA-Z]*(?:\d{5}|\*)")
"""A format whose width or precision is huge, or is an argument."""
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}


_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}


def union_deep(m: Machine, vals: list[Val]) -> tuple[frozenset[int], frozenset[int]]:
    """Labels, with those of contents, and dependencies of several values."""
    labels, deps = union(vals)
    for val in vals:
        if val.objs:
            labels = labels | m.deep(val)
            for obj in val.objs:
                deps = deps | obj.deps
    return labels, deps


def binary(m: Machine, node: ast.AST, op: ast.operator, left: Val, right: Val) -> Val:
    """``left op right``."""
    labels, deps = union_deep(m, [left, right])
    if left.known and right.known:
        folded = _fold(op, left.const, right.const)
        if folded is not UNKNOWN:
            return Val(folded, labels, deps)
    a, b = _written(left), _written(right)
    lists = [any(o.kind == "list" for o in v.objs) for v in (left, right)]
    if isinstance(op, ast.Add) and (a is not None or b is not None) and not all(lists):
        objs = tuple(o for o in left.objs if o.kind in ("list", "tuple"))
        return Val(UNKNOWN, labels, deps, objs, (a if a is not None else HOLE) + (b if b is not None else HOLE))
    if isinstance(op, ast.Div) and (a is not None or b is not None or any(o.kind == "path" for o in left.objs)):
        return Val(UNKNOWN, labels, deps, (), f"{a or HOLE}/{b or HOLE}")
    if isinstance(op, ast.Mod) and a is not None:
        return Val(UNKNOWN, labels, deps, (), percent_formatted(a, right))
    if isinstance(op, (ast.Mod, ast.BitAnd, ast.RShift)):
        labels = _bounded(m, left, right, labels)
    if isinstance(op, (ast.Mod, ast.BitXor, ast.BitAnd)) and is_tokens(m, labels):
        labels = labels | {m.label("hash")}
    if isinstance(op, (ast.Add, ast.Sub)) and m.gradients:
        labels = _descend(m, node, left, right, labels)
    if isinstance(op, (ast.Div, ast.FloorDiv)):
        lookups.ratio(m, node, m.deep(left), m.deep(right))
    elif isinstance(op, ast.Sub):
        labels = labels | mixes.difference(m, node, m.deep(left), m.deep(right))
    elif isinstance(op, ast.Add):
        labels = labels | mixes.added(m, node, labels if left is right else m.deep(left), m.deep(right))
    elif isinstance(op, ast.Mult):
        labels = labels | mixes.weighted(m, node, m.deep(left), m.deep(right))
        mixes.late(m, m.deep(left), m.deep(right))
        mixes.late(m, m.deep(right), m.deep(left))
    if isinstance(op, ast.Add) and any(o.kind == "list" for o in left.objs):
        return Val(UNKNOWN, labels, deps, tuple(o for o in (*left.objs, *right.objs) if o.kind in ("list", "tuple")))
    if isinstance(op, ast.Mult) and any(o.kind == "list" for o in left.objs):
        return Val(UNKNOWN, labels, deps, _unsized(m, left))
    return Val(UNKNOWN, labels, deps)


def _descend(m: Machine, node: ast.AST, left: Val, right: Val, labels: frozenset[int]) -> frozenset[int]:
    """``parameter - rate * gradient``: the new value is the updated state."""
    sides = [bool(m.of_kind(m.deep(v), "grd")) for v in (left, right)]
    if sides[0] == sides[1]:
        return labels
    from auditor.source.flow.targets import apply_gradients

    other = m.deep(left if sides[1] else right)
    if not m.of_kind(other, "par"):
        return labels
    return m.without(labels, "grd") | apply_gradients(m, node, labels)


def _unsized(m: Machine, val: Val) -> tuple[Obj, ...]:
    obj = m.new("list")
    obj.elem = peek(m, val)
    return (obj,)


def _fold(op: ast.operator, a: Any, b: Any) -> Any:
    if isinstance(op, (ast.Pow, ast.LShift)) and not (isinstance(b, (int, float)) and abs(b) <= 64):
        return UNKNOWN
    if isinstance(op, ast.Mult) and (isinstance(a, (str, bytes, tuple)) or isinstance(b, (str, bytes, tuple))):
        return UNKNOWN
    if isinstance(op, ast.Mod) and isinstance(a, (str, bytes)) and _WIDE.search(a if isinstance(a, str) else repr(a)):
        return UNKNOWN
    try:
        result = _BINARY[type(op)](a, b)
    except (TypeError, ValueError, ArithmeticError, KeyError):
        return UNKNOWN
    return result if not isinstance(result, int) or result.bit_length() < 4096 else UNKNOWN


def compare(m: Machine, op: ast.cmpop, left: Val, right: Val) -> Any:
    """Truth of one comparison, or UNKNOWN."""
    if isinstance(op, (ast.In, ast.NotIn)):
        return _contains(m, isinstance(op, ast.NotIn), left, right)
    later = next((o for o in left.objs if o.kind == "later"), None)
    if later is not None and right.known and isinstance(right.const, int) and isinstance(later.data, int):
        return _compare_later(op, later.data, right.const)
    if isinstance(op, (ast.Is, ast.IsNot)) and right.known and right.const is None and not left.known:
        if left.objs or left.labels or left.text:
            return isinstance(op, ast.IsNot)
        return UNKNOWN
    if left.known and right.known:
        try:
            return bool(_COMPARE[type(op)](left.const, right.const))
        except (TypeError, ValueError, KeyError):
            return UNKNOWN
    return UNKNOWN


def _compare_later(op: ast.cmpop, first: int, other: int) -> Any:
    """A loop variable after its first turn, counting up from ``first``."""
    if isinstance(op, (ast.Eq, ast.NotEq)):
        return isinstance(op, ast.NotEq) if other <= first else UNKNOWN
    if isinstance(op, ast.Gt):
        return True if other <= first else UNKNOWN
    if isinstance(op, ast.GtE):
        return True if other <= first + 1 else UNKNOWN
    if isinstance(op, ast.Lt):
        return False if other <= first + 1 else UNKNOWN
    if isinstance(op, ast.LtE):
        return False if other <= first else UNKNOWN
    return UNKNOWN


def _contains(m: Machine, negated: bool, left: Val, right: Val) -> Any:
    if not left.known:
        return UNKNOWN
    if any(o.kind == "environ" for o in right.objs):
        from auditor.source.flow.environment import is_set

        known = is_set(m, str(left.const))
        return UNKNOWN if known is None else known != negated
    if right.known and isinstance(right.const, (str, tuple)):
        try:
            return (left.const in right.const) != negated
        except TypeError:
            return UNKNOWN
    for obj in right.objs:
        if obj.kind in ("list", "tuple", "set") and obj.items is not None and obj.elem is None and len(right.objs) == 1:
            consts = [v.const for v in obj.items.values()]
            if UNKNOWN not in consts:
                return (left.const in consts) != negated
    return UNKNOWN


def _written(val: Val) -> str | None:
    """The string that a value is, as far as known; a number out of the environment is none."""
    return val.const if isinstance(val.const, str) else None if val.text == "%env" else val.text


def _bounded(m: Machine, left: Val, right: Val, labels: frozenset[int]) -> frozenset[int]:
    """``key & mask``: what only bounds a key is no part of it."""
    for one, other in ((left, right), (right, left)):
        mine = m.deep(one)
        if is_tokens(m, mine) and m.of_kind(mine, "acc") and not m.of_kind(m.deep(other), "acc"):
            return mine
    return labels
