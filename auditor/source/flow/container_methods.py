"""Methods of lists, dictionaries, queues and tables."""

from __future__ import annotations

import ast
from collections.abc import Callable

from auditor.source.flow import lookups, threads
from auditor.source.flow.calibration import in_model, statistics
from auditor.source.flow.calls import Args, Kwargs
from auditor.source.flow.iteration import dict_values, generic, is_tokens, peek
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.operators import binary
from auditor.source.flow.targets import in_place
from auditor.source.flow.values import (
    EMPTY,
    NONE,
    NOTHING,
    UNKNOWN,
    Val,
    join,
)

Method = Callable[[Machine, Frame, ast.AST, Val, Args, Kwargs], Val]


SCATTERS = frozenset(
    {"scatter_add_", "scatter_", "index_add_", "index_put_", "index_copy_", "scatter_reduce_", "index_fill_"}
)


def _set_item(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    if len(args) == 2:
        in_place(m, node, owner, args[1], key=args[0], augmented=False)
    return NONE


def _append(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    for obj in owner.objs:
        if obj.kind in ("list", "dict", "opaque", "tuple", "set"):
            if obj.data == "literal":
                obj.data = None
            for val in args[-1:]:
                if obj.kind == "list" and not in_model(m) and (stat := statistics(m, node, m.deep(val))):
                    m.taint(obj, stat)
                m.add_element(obj, val)
                m.taint(obj, EMPTY, val.deps)
    return NONE


def _add(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    """``seen.add(item)``, or a tensor's sum."""
    if args and not any(o.kind in ("list", "set", "dict", "opaque", "tuple") for o in owner.objs):
        return binary(m, node, ast.Add(), owner, args[0])
    return _append(m, frame, node, owner, args, kwargs)


def _extend(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    return _append(m, frame, node, owner, [peek(m, a) for a in args], kwargs)


def _update(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    for obj in owner.objs:
        if obj.kind != "dict":
            m.taint(obj, generic(m, args, kwargs).labels)
            continue
        for arg in args:
            labels = m.deep(arg)
            if is_tokens(m, labels) and not any(o.kind == "dict" for o in arg.objs):
                in_place(m, node, Val(objs=(obj,)), NOTHING, key=Val(UNKNOWN, labels, arg.deps))
                continue
            m.taint(obj, labels, arg.deps)
            m.add_element(obj, dict_values(arg))
            for source in arg.objs:
                for key, val in (source.items or {}).items():
                    if isinstance(key, str) and obj.items is not None:
                        m.add_element(obj, val, key)
        for key, val in kwargs.items():
            m.add_element(obj, val, key)
    return NONE


def _get(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    item = threads.taken(m, owner)
    if item is not None:
        return item
    if not args:
        return generic(m, [owner], kwargs)
    found = lookups.read(m, node, owner, args[0])
    default = args[1] if len(args) > 1 else NONE
    single = owner.objs[0] if len(owner.objs) == 1 else None
    if (
        single is not None
        and single.kind == "dict"
        and single.items is not None
        and single.elem is None
        and not single.labels
    ):
        name = args[0].const if args[0].known else lookups.file_key(args[0])
        if name is not None and name not in single.items:
            return default
        if name is not None:
            return found
    return join(found, Val(UNKNOWN, default.labels, default.deps, default.objs, default.text))


def _setdefault(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    if len(args) == 2:
        in_place(m, node, owner, args[1], key=args[0], augmented=False)
    return _get(m, frame, node, owner, args, kwargs)


def _items(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("pairs")
    obj.elem = owner
    return Val(UNKNOWN, owner.labels, owner.deps, (obj,))


def _values(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("list")
    obj.elem = dict_values(owner)
    return Val(UNKNOWN, owner.labels, owner.deps, (obj,))


def _keys(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("list")
    obj.elem = peek(m, owner)
    return Val(objs=(obj,))


def scatter(m: Machine, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    """``table.scatter_add_(dim, index, source)`` and its kin: an update under the index."""
    index = args[1] if len(args) > 1 else kwargs.get("index", NOTHING)
    source = args[2] if len(args) > 2 else kwargs.get("src", kwargs.get("source", NOTHING))
    if args and any(o.kind == "tuple" for o in args[0].objs):
        index, source = args[0], args[1] if len(args) > 1 else NOTHING
    in_place(m, node, owner, source, key=index)
    return owner


CONTAINERS: dict[str, Method] = {
    "__setitem__": _set_item,
    "get_nowait": _get,
    "append": _append,
    "add": _add,
    "insert": _append,
    "appendleft": _append,
    "extend": _extend,
    "update": _update,
    "get": _get,
    "setdefault": _setdefault,
    "pop": _get,
    "items": _items,
    "values": _values,
    "keys": _keys,
}
