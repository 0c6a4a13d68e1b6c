"""Evaluate expressions to abstract values; constants are folded, everything else keeps what it is made of."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from auditor.source.flow import lookups, mixes
from auditor.source.flow.attributes import attribute
from auditor.source.flow.calls import call
from auditor.source.flow.definitions import define_function, library_name
from auditor.source.flow.iteration import NAMES, access, choices_of, element, is_tokens, make_tuple, peek, turn_count
from auditor.source.flow.machine import MAX_STEPS, BudgetSpentError, Frame, Machine
from auditor.source.flow.narrowing import narrowed
from auditor.source.flow.operators import binary, compare, union_deep
from auditor.source.flow.values import EMPTY, HOLE, NONE, NOTHING, UNKNOWN, Obj, Val, join, union

_ACTIONS = frozenset({"step", "backward", "zero_grad", "load_state_dict", "append", "add_", "sub_", "copy_"})
"""Methods that do something and may be taken first and called later (``step = optimizer.step``)."""
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_BUILTIN_NAMES = frozenset(dir(__builtins__) if not isinstance(__builtins__, dict) else __builtins__)


def evaluate(m: Machine, frame: Frame, node: ast.AST) -> Val:
    """The abstract value of an expression."""
    m.steps += 1
    if m.steps > MAX_STEPS:
        raise BudgetSpentError
    handler = _EXPRESSIONS.get(type(node))
    return NOTHING if handler is None else handler(m, frame, node)


def _constant(m: Machine, frame: Frame, node: ast.Constant) -> Val:
    return Val(node.value)


def _name(m: Machine, frame: Frame, node: ast.Name) -> Val:
    found = lookup_name(m, frame, node.id)
    if found is None:
        return NOTHING
    return found


def lookup_name(m: Machine, frame: Frame, name: str) -> Val | None:
    """Look a name up in the running scope, the enclosing ones, the module's, and the built-ins."""
    if name in frame.env:
        return frame.env[name]
    for scope in frame.closure:
        if name in scope:
            return scope[name]
    if name in frame.globals:
        return frame.globals[name]
    if name in _BUILTIN_NAMES:
        return Val(objs=(library_name(m, f"builtins.{name}"),))
    return None


def _attribute(m: Machine, frame: Frame, node: ast.Attribute) -> Val:
    owner = evaluate(m, frame, node.value)
    val = attribute(m, frame, node, owner, node.attr)
    if node.attr in _ACTIONS and not val.known and not val.objs and (owner.objs or owner.labels):
        bound = m.new("bound", node.attr)
        bound.data = (owner, node.attr)
        return Val(UNKNOWN, val.labels, val.deps, (bound,))
    return val


def subscript_base(m: Machine, frame: Frame, node: ast.AST) -> Val:
    """The container of a store: nested containers are walked to, not looked up."""
    if isinstance(node, ast.Subscript):
        base = subscript_base(m, frame, node.value)
        key = evaluate(m, frame, node.slice)
        inner = lookups.select(m, base, key)
        if inner is not None and inner.objs:
            return inner
        return Val(UNKNOWN, base.labels, base.deps, tuple(o for o in base.objs if o.kind in ("cell", "opaque", "dict")))
    return evaluate(m, frame, node)


def _subscript(m: Machine, frame: Frame, node: ast.Subscript) -> Val:
    base = _part(m, frame, node, evaluate(m, frame, node.value))
    if _only_reshapes(node.slice) and not any(o.kind in ("dict", "environ") for o in base.objs):
        return base
    if isinstance(node.slice, ast.Slice):
        parts = [evaluate(m, frame, p) for p in (node.slice.lower, node.slice.upper, node.slice.step) if p is not None]
        key = Val(UNKNOWN, *union_deep(m, parts))
        return _sliced(m, frame, node, base, key)
    key = evaluate(m, frame, node.slice)
    return lookups.read(m, node, base, key)


def _only_reshapes(key: ast.expr) -> bool:
    """``x[None]``, ``x[:, None]``, ``x[...]``: the same elements in another shape."""
    if isinstance(key, ast.Tuple):
        return bool(key.elts) and all(_only_reshapes(e) for e in key.elts)
    if isinstance(key, ast.Slice):
        return key.lower is None and key.upper is None and key.step is None
    return isinstance(key, ast.Constant) and (key.value is None or key.value is ...)


def _part(m: Machine, frame: Frame, node: ast.Subscript, base: Val) -> Val:
    """Mark a model's output or loss that is cut at a variable bound: the part before it or the part from it on."""
    last = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice
    if not isinstance(last, ast.Slice) or not m.of_kind(base.labels, "nll", "par") or not m.of_kind(base.labels, "acc"):
        return base
    bound, side = (last.lower, "tail") if last.lower is not None else (last.upper, "head")
    if bound is None or isinstance(bound, (ast.Constant, ast.UnaryOp)):
        return base
    return base.with_labels(frozenset({m.label("part", side, frame.file, frame.function, ast.unparse(bound))}))


def _sliced(m: Machine, frame: Frame, node: ast.Subscript, base: Val, key: Val) -> Val:
    assert isinstance(node.slice, ast.Slice)
    bounds = [
        None if p is None else evaluate(m, frame, p).const
        for p in (node.slice.lower, node.slice.upper, node.slice.step)
    ]
    if isinstance(base.const, (str, tuple, bytes)) and UNKNOWN not in bounds:
        try:
            return Val(base.const[slice(*bounds)], base.labels, base.deps | key.deps, (), None)
        except (TypeError, ValueError):
            return NOTHING
    labels = base.labels
    for obj in base.objs:
        labels = labels | m.deep_obj(obj, 2)
    objs = tuple(o for o in base.objs if o.kind in ("cell", "list", "opaque", "dict", "tuple"))
    if is_tokens(m, labels):
        copied = tuple(o for o in objs if o.kind in ("list", "tuple"))
        return access(m, node, Val(UNKNOWN, labels, base.deps | key.deps, copied), key.deps, _bounds(frame, node.slice))
    return Val(UNKNOWN, base.labels, base.deps | key.deps, objs, base.string)


def _bounds(frame: Frame, node: ast.Slice) -> tuple[str, str, str] | None:
    """The function and the texts of both bounds of a slice, when neither is a constant."""
    if node.lower is None or node.upper is None or isinstance(node.lower, (ast.Constant, ast.UnaryOp)):
        return None
    return (frame.function, ast.unparse(node.lower), ast.unparse(node.upper))


def _slice(m: Machine, frame: Frame, node: ast.Slice) -> Val:
    parts = [evaluate(m, frame, p) for p in (node.lower, node.upper, node.step) if p is not None]
    return Val(UNKNOWN, *union_deep(m, parts))


def _binop(m: Machine, frame: Frame, node: ast.BinOp) -> Val:
    left = evaluate(m, frame, node.left)
    return binary(m, node, node.op, left, evaluate(m, frame, node.right))


def _unary(m: Machine, frame: Frame, node: ast.UnaryOp) -> Val:
    val = evaluate(m, frame, node.operand)
    if isinstance(node.op, ast.Not):
        from auditor.source.flow.loops import truth_of

        truth = truth_of(val)
        return Val(UNKNOWN if truth is None else not truth, val.labels, val.deps)
    if val.known and isinstance(val.const, (int, float)):
        folded = _UNARY.get(type(node.op))
        if folded is not None:
            return Val(folded(val.const), val.labels, val.deps)
    return Val(UNKNOWN, m.deep(val), val.deps)


def _boolop(m: Machine, frame: Frame, node: ast.BoolOp) -> Val:
    from auditor.source.flow.loops import truth_of

    is_and = isinstance(node.op, ast.And)
    seen: list[Val] = []
    for item in node.values:
        val = evaluate(m, frame, item)
        truth = truth_of(val)
        if truth is (not is_and):
            return val if not seen else (Val(val.const, *union([*seen, val])) if not is_and or truth is False else val)
        if truth is None or item is node.values[-1]:
            seen.append(val)
    if not seen:
        return NOTHING
    result = seen[0]
    for val in seen[1:]:
        result = join(result, val)
    return result if len(seen) == 1 else Val(UNKNOWN, result.labels, result.deps, result.objs, result.text)


def _compare(m: Machine, frame: Frame, node: ast.Compare) -> Val:
    left = evaluate(m, frame, node.left)
    vals = [left]
    result: Any = True
    for op, item in zip(node.ops, node.comparators, strict=True):
        right = evaluate(m, frame, item)
        vals.append(right)
        one = compare(m, op, left, right)
        if one is UNKNOWN:
            result = UNKNOWN
        elif result is not UNKNOWN:
            result = result and one
        left = right
    labels, deps = union_deep(m, vals)
    if is_tokens(m, labels):  # the truth of a comparison is no token any more: masks and positions
        labels = (
            m.without(labels, "src", "acc", "hash", "gen") | {m.label("pos")} | mixes.stored(m, node, node.ops, vals)
        )
    return Val(result, labels, deps)


def _ifexp(m: Machine, frame: Frame, node: ast.IfExp) -> Val:
    from auditor.source.flow.loops import truth_of

    test = evaluate(m, frame, node.test)
    truth = truth_of(test)
    if truth is not None:
        return evaluate(m, frame, node.body if truth else node.orelse)
    m.uncertain.append(ast.unparse(node.test)[:120])
    try:
        a, b = evaluate(m, frame, node.body), evaluate(m, frame, node.orelse)
    finally:
        m.uncertain.pop()
    if m.varies(m.deep(a) | m.deep(b)) & m.all_loops():  # else these are whole sums, and one of two results is shown
        return join(a, b).with_labels(lookups.chosen(m, node, m.deep(test), m.deep(a), m.deep(b)))
    return join(a, b)


def _tuple(m: Machine, frame: Frame, node: ast.Tuple) -> Val:
    return _sequence(m, frame, node, "tuple")


def _list(m: Machine, frame: Frame, node: ast.List) -> Val:
    return _sequence(m, frame, node, "list")


def _set(m: Machine, frame: Frame, node: ast.Set) -> Val:
    return _sequence(m, frame, node, "set")


def _sequence(m: Machine, frame: Frame, node: Any, kind: str) -> Val:
    if any(isinstance(e, ast.Starred) for e in node.elts):
        obj = m.new(kind)
        for elt in node.elts:
            val = peek(m, evaluate(m, frame, elt.value)) if isinstance(elt, ast.Starred) else evaluate(m, frame, elt)
            obj.elem = val if obj.elem is None else join(obj.elem, val)
        return Val(objs=(obj,))
    return make_tuple(m, [evaluate(m, frame, e) for e in node.elts], kind)


def _dict(m: Machine, frame: Frame, node: ast.Dict) -> Val:
    obj = m.new("dict")
    obj.items = {}
    for key, item in zip(node.keys, node.values, strict=True):
        val = evaluate(m, frame, item)
        if key is None:
            for source in val.objs:
                obj.items.update({k: v for k, v in (source.items or {}).items()})
                obj.elem = source.elem if obj.elem is None else join(obj.elem, source.elem or NOTHING)
            m.taint(obj, val.labels)
            continue
        name = evaluate(m, frame, key)
        m.add_element(obj, val, name.const if isinstance(name.const, (str, int)) else None)
    return Val(objs=(obj,))


def _comprehension(m: Machine, frame: Frame, node: Any) -> Val:
    from auditor.source.flow.loops import open_loop
    from auditor.source.flow.targets import assign

    obj = m.new("dict" if isinstance(node, ast.DictComp) else "set" if isinstance(node, ast.SetComp) else "list")
    obj.items = {} if obj.kind == "dict" else None
    outer, frame.env = frame.env, dict(frame.env)
    opened = 0
    try:
        for gen in node.generators:
            iterable = evaluate(m, frame, gen.iter)
            if turn_count(iterable) == 0:
                return Val(objs=(obj,))
            state = open_loop(m, gen.target, turn_count(iterable))
            state.turn, state.number = 1, -1
            opened += 1
            choices = choices_of(iterable)
            if choices and len(node.generators) == 1 and len(choices) <= NAMES:
                mark = frozenset({state.id})
                return _of_each(m, frame, node, obj, [Val(c.const, EMPTY, mark, (), c.text) for c in choices])
            assign(m, frame, gen.target, element(m, gen.target, iterable, state))
            for test in gen.ifs:
                evaluate(m, frame, test)
                held, paths = narrowed(m, frame, test)
                frame.env.update(paths if held else {})
        if isinstance(node, ast.DictComp):
            key = evaluate(m, frame, node.key)
            obj.attrs["%key"] = key
            obj.elem = evaluate(m, frame, node.value)
        else:
            obj.elem = evaluate(m, frame, node.elt)
    finally:
        del m.loops[len(m.loops) - opened :]
        frame.env = outer
    return Val(objs=(obj,))


def _of_each(m: Machine, frame: Frame, node: Any, obj: Obj, items: list[Val]) -> Val:
    """A comprehension over a few texts: one element for each."""
    from auditor.source.flow.targets import assign

    for item in items:
        assign(m, frame, node.generators[0].target, item)
        for test in node.generators[0].ifs:
            evaluate(m, frame, test)
        if not isinstance(node, ast.DictComp):
            m.add_element(obj, evaluate(m, frame, node.elt))
            continue
        key = evaluate(m, frame, node.key)
        m.add_element(obj, evaluate(m, frame, node.value), key.const if isinstance(key.const, str) else None)
    return Val(objs=(obj,))


def _fstring(m: Machine, frame: Frame, node: ast.JoinedStr) -> Val:
    parts: list[str] = []
    vals: list[Val] = []
    for item in node.values:
        if isinstance(item, ast.Constant):
            parts.append(str(item.value))
        elif isinstance(item, ast.FormattedValue):
            val = evaluate(m, frame, item.value)
            vals.append(val)
            plain = item.format_spec is None and val.known
            parts.append(str(val.const) if plain else (val.string or HOLE))
    text = "".join(parts)
    labels, deps = union_deep(m, vals)
    if HOLE not in text and all(v.known for v in vals):
        return Val(text, labels, deps)
    return Val(UNKNOWN, labels, deps, (), text)


def _lambda(m: Machine, frame: Frame, node: ast.Lambda) -> Val:
    return define_function(m, frame, node)


def _starred(m: Machine, frame: Frame, node: ast.Starred) -> Val:
    return evaluate(m, frame, node.value)


def _named(m: Machine, frame: Frame, node: ast.NamedExpr) -> Val:
    val = evaluate(m, frame, node.value)
    frame.env[node.target.id] = val
    return val


def _yield(m: Machine, frame: Frame, node: ast.Yield) -> Val:
    val = NONE if node.value is None else evaluate(m, frame, node.value)
    if frame.yields is not None:
        frame.yields.append(val)
    if frame.at_yield is not None:
        frame.at_yield(val)
    return NOTHING


def _yield_from(m: Machine, frame: Frame, node: ast.YieldFrom) -> Val:
    val = peek(m, evaluate(m, frame, node.value))
    if frame.yields is not None:
        frame.yields.append(val)
    return NOTHING


def _await(m: Machine, frame: Frame, node: ast.Await) -> Val:
    return evaluate(m, frame, node.value)


_EXPRESSIONS: dict[type[ast.AST], Callable[[Machine, Frame, Any], Val]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.Slice: _slice,
    ast.BinOp: _binop,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolop,
    ast.Compare: _compare,
    ast.IfExp: _ifexp,
    ast.Tuple: _tuple,
    ast.List: _list,
    ast.Set: _set,
    ast.Dict: _dict,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.DictComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.JoinedStr: _fstring,
    ast.Lambda: _lambda,
    ast.Starred: _starred,
    ast.NamedExpr: _named,
    ast.Yield: _yield,
    ast.YieldFrom: _yield_from,
    ast.Await: _await,
    ast.Call: call,
}
