"""Python's built-in functions on abstract values."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from auditor.source.flow import lookups, mixes, outputs
from auditor.source.flow.calls import Args, Kwargs, call_value
from auditor.source.flow.iteration import access, dict_values, generic, make_tuple, peek
from auditor.source.flow.loops import truth_of
from auditor.source.flow.machine import Frame, Machine, merge_labels
from auditor.source.flow.targets import set_attribute
from auditor.source.flow.values import (
    EMPTY,
    FALSE,
    NONE,
    NOTHING,
    TRUE,
    UNKNOWN,
    Obj,
    Val,
    union,
)

Handler = Callable[[Machine, Frame, ast.AST, Args, Kwargs], Val]


_PURE: dict[str, Callable[..., Any]] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "len": len,
    "abs": abs,
    "round": round,
    "min": min,
    "max": max,
    "sum": sum,
    "ord": ord,
    "chr": chr,
    "pow": pow,
    "divmod": divmod,
}


def call_builtin(m: Machine, frame: Frame, node: ast.AST, name: str, args: Args, kwargs: Kwargs) -> Val:
    """Call a built-in function by its plain name."""
    handler = _BUILTINS.get(name)
    if handler is not None:
        return handler(m, frame, node, args, kwargs)
    pure = _PURE.get(name)
    if pure is not None:
        return _pure(m, node, name, pure, args, kwargs)
    if name in ("exec", "eval", "compile", "__import__"):
        outputs.external(m, node, f"builtins.{name}")
    return generic(m, args, kwargs)


def _pure(m: Machine, node: ast.AST, name: str, pure: Callable[..., Any], args: Args, kwargs: Kwargs) -> Val:
    labels, deps = EMPTY, EMPTY
    for arg in args:
        labels, deps = labels | m.deep(arg), deps | arg.deps
    if name == "len":
        return _length(m, args)
    if args and all(a.known for a in args) and not kwargs:
        try:
            result = pure(*(a.const for a in args))
        except (TypeError, ValueError, ArithmeticError):
            return Val(UNKNOWN, labels, deps)
        mark = next((a.text for a in args if a.text == "%env"), None)
        return (
            Val(result, labels, deps, (), mark)
            if isinstance(result, (int, float, str, bool, tuple))
            else Val(UNKNOWN, labels, deps)
        )
    if name == "bool" and args:
        truth = truth_of(args[0])
        return Val(UNKNOWN if truth is None else truth, labels, deps)
    if name in ("min", "max") and len(args) >= 2:
        parts = [m.deep(a) for a in args]
        if m.varies(merge_labels(parts)) & m.all_loops():  # outside the loop over the data these are whole sums
            labels = labels | lookups.least(m, node, name, parts)
        labels = labels | (mixes.most(m, node, [m.deep(a) for a in args]) if name == "max" else EMPTY)
    if name in ("min", "max") and len(args) == 1:
        return _extreme(m, node, name, args[0], kwargs.get("key"), Val(UNKNOWN, labels, deps))
    if name == "str" and args:
        return Val(UNKNOWN, labels, deps, (), args[0].string)
    if name == "int" and args and any(o.kind == "later" for o in args[0].objs):
        return args[0]
    return Val(UNKNOWN, labels, deps)


def _length(m: Machine, args: Args) -> Val:
    if args and len(args[0].objs) == 1:
        obj = args[0].objs[0]
        if obj.kind in ("tuple", "list") and obj.data == "literal" and obj.elem is None and obj.items is not None:
            return Val(len(obj.items))
    if args and isinstance(args[0].const, (str, tuple, bytes)) and not args[0].objs:
        return Val(len(args[0].const))
    return Val(UNKNOWN, EMPTY, args[0].deps if args else EMPTY)


def _range(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("range")
    consts = [a.const for a in args]
    obj.deps = union(args)[1]
    if consts and all(isinstance(c, int) for c in consts):
        try:
            range(*consts)
            obj.data = tuple(consts) if len(consts) > 1 else (0, *consts)
        except (TypeError, ValueError):
            obj.data = None
    obj.attrs["start"] = Val(0) if len(args) == 1 else (args[0] if args else NOTHING)
    return Val(objs=(obj,))


def _enumerate(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("enumerate")
    obj.elem = args[0] if args else NOTHING
    start = args[1] if len(args) > 1 else kwargs.get("start", Val(0))
    obj.data = start.const
    return Val(objs=(obj,))


def _zip(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("zip")
    obj.items = dict(enumerate(args))
    return Val(objs=(obj,))


def _list(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("list")
    if not args:
        return Val(objs=(obj,))
    val = args[0]
    single = val.objs[0] if len(val.objs) == 1 else None
    if single is not None and single.kind in ("range", "enumerate", "zip", "pairs"):
        return val
    if single is not None and single.kind in ("tuple", "list") and single.items is not None and single.elem is None:
        return make_tuple(m, list(single.items.values()), "list")
    obj.elem = peek(m, val)
    obj.labels = m.deep(val) if not val.objs else EMPTY
    return Val(UNKNOWN, val.labels, val.deps, (obj,), val.string)


def _dict(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("dict")
    obj.items = {k: v for k, v in kwargs.items() if k != "**"}
    for arg in args:
        m.taint(obj, m.deep(arg))
        obj.elem = dict_values(arg)
        for source in arg.objs:
            obj.items.update({k: v for k, v in (source.items or {}).items() if isinstance(k, str)})
    return Val(objs=(obj,))


def _print(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    outputs.report(m, node, args)
    return NONE


def _getattr(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    from auditor.source.flow.attributes import attribute

    if len(args) < 2 or not isinstance(args[1].const, str):
        return generic(m, args[:1], {})
    name = args[1].const
    for obj in args[0].objs:
        if obj.kind in ("instance", "class", "module") and not _has(m, obj, name) and len(args) > 2:
            return args[2]
    return attribute(m, frame, node, args[0], name)


def _has(m: Machine, obj: Obj, name: str) -> bool:
    from auditor.source.flow.definitions import find_in_class

    if name in obj.attrs:
        return True
    if obj.kind == "class":
        return find_in_class(obj, name) is not None
    return obj.cls is not None and find_in_class(obj.cls, name) is not None


def _hasattr(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    if len(args) == 2 and isinstance(args[1].const, str) and len(args[0].objs) == 1:
        obj = args[0].objs[0]
        if obj.kind in ("instance", "class") and _has(m, obj, args[1].const):
            return TRUE
        if obj.kind == "instance" and obj.weights is None:
            return FALSE
    return Val(UNKNOWN)


def _setattr(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    if len(args) == 3 and isinstance(args[1].const, str):
        set_attribute(m, node, args[0], args[1].const, args[2])
    return NONE


def _next(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    if not args:
        return NOTHING
    return access(m, node, peek(m, args[0]), m.all_loops())


def _map(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("list")
    if len(args) >= 2:
        obj.elem = call_value(m, frame, node, args[0], [peek(m, a) for a in args[1:]], {})
    return Val(objs=(obj,))


def _filter(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    return args[1] if len(args) > 1 else NOTHING


def _isinstance(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    return Val(UNKNOWN)


def _hash(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    val = generic(m, args, kwargs)
    return Val(UNKNOWN, val.labels | {m.label("hash")}, val.deps)


def _extreme(m: Machine, node: ast.AST, name: str, among: Val, key: Val | None, plain: Val) -> Val:
    """``min(losses)``, ``min(grid, key=loss_of)``, ``max(row, key=row.get)``."""
    if key is None:
        if name == "min":
            mixes.least_of(m, node, among)
        return plain
    item = peek(m, among)
    by = m.deep(call_value(m, m.frame, node, key, [item], {}))
    if name == "max":
        lookups.hint(m, m.deep(among))
    val = Val(UNKNOWN, item.labels | m.deep(among), plain.deps, item.objs, item.text)
    return mixes.tuned(m, node, by, val) if mixes.nlls(m, by) and not mixes.nlls(m, val.labels) else val


def _scope(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """``globals()``: names to be looked up by their text."""
    obj = m.new("scope")
    obj.data = frame.globals
    return Val(objs=(obj,))


def _unknown(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    return Val(UNKNOWN)


_BUILTINS: dict[str, Handler] = {
    "globals": _scope,
    "range": _range,
    "enumerate": _enumerate,
    "zip": _zip,
    "list": _list,
    "tuple": _list,
    "dict": _dict,
    "print": _print,
    "set": _list,
    "frozenset": _list,
    "getattr": _getattr,
    "hasattr": _hasattr,
    "setattr": _setattr,
    "next": _next,
    "map": _map,
    "filter": _filter,
    "isinstance": _isinstance,
    "issubclass": _isinstance,
    "hash": _hash,
    "callable": _isinstance,
    "id": _unknown,
    "type": _unknown,
}
