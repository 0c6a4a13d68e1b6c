"""Attribute reads: instances, classes, modules, and what tensors and containers give away."""

from __future__ import annotations

import ast

from auditor.source.flow.definitions import find_in_class, library_name, module_value
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.values import EMPTY, NONE, NOTHING, UNKNOWN, Obj, Val, join

METADATA = frozenset(
    {
        "shape",
        "dtype",
        "device",
        "ndim",
        "size",
        "dim",
        "numel",
        "nelement",
        "element_size",
        "stride",
        "nbytes",
        "itemsize",
        "is_cuda",
        "requires_grad",
        "is_contiguous",
        "get_device",
        "__name__",
        "__class__",
        "training",
        "in_features",
        "out_features",
        "layout",
        "is_leaf",
        "untyped_storage",
        "data_ptr",
        "type_as",
        "__len__",
    }
)
_SAME = frozenset({"data", "ctypes", "T", "mT", "real", "weight", "module", "_orig_mod", "orig_mod"})


def attribute(m: Machine, frame: Frame, node: ast.AST, owner: Val, name: str) -> Val:
    """``owner.name``."""
    if name == "__dict__":
        return owner
    found: Val | None = None
    for obj in owner.objs:
        one = _of_object(m, frame, node, owner, obj, name)
        if one is not None:
            found = one if found is None else join(found, one)
    if found is not None:  # what is read from a loop's element varies with the loop
        return found.with_labels(EMPTY, owner.deps) if owner.deps else found
    if name in METADATA:
        return Val(UNKNOWN, EMPTY, owner.deps if name in ("shape", "size") else EMPTY)
    if name == "grad":
        labels = EMPTY
        for cell in m.par_cells(m.deep(owner)):
            labels = labels | cell.grads
        return Val(UNKNOWN, labels)
    labels = m.deep(owner)
    keep = tuple(o for o in owner.objs if o.kind in ("cell", "opaque")) if name in _SAME else ()
    return Val(
        UNKNOWN,
        labels,
        owner.deps,
        keep,
        owner.string if name in ("name", "path", "stem", "parent", "parents", "suffix") else None,
    )


def _of_object(m: Machine, frame: Frame, node: ast.AST, owner: Val, obj: Obj, name: str) -> Val | None:
    if obj.kind == "instance":
        return _of_instance(m, frame, node, obj, name)
    if obj.kind == "class":
        found = find_in_class(obj, name)
        if found is None:
            return Val(obj.name) if name == "__name__" else None
        return _of_class(m, obj, found)
    if obj.kind == "module":
        if name in obj.attrs:
            return obj.attrs[name]
        full = f"{obj.name}.{name}"
        if full in m.module_sources:
            return module_value(m, full)
        if obj.name in m.module_sources:
            return NOTHING
        return _library(m, full)
    if obj.kind == "builtin":
        return _library(m, f"{obj.name}.{name}")
    if obj.kind == "environ":  # ``get = os.environ.get``
        bound = m.new("bound", name)
        bound.data = (Val(objs=(obj,)), name)
        return Val(objs=(bound,))
    if obj.kind in ("opaque", "function") and name in obj.attrs:
        return obj.attrs[name]
    if obj.kind == "opaque" and obj.name.rpartition(".")[2] == "Namespace":
        return NONE
    return None


def _of_class(m: Machine, cls: Obj, found: Val) -> Val:
    """A class attribute read from the class itself: class methods are bound to it."""
    if not any(o.kind == "function" and "classmethod" in o.data[4] for o in found.objs):
        return found
    method = m.new("method", found.objs[0].name)
    method.data = (found.objs[0], cls)
    return Val(objs=(method,))


def _library(m: Machine, full: str) -> Val:
    if full == "os.environ":
        obj = m.modules.get("%environ")
        if obj is None:
            obj = m.modules["%environ"] = m.new("environ", "os.environ")
        return Val(objs=(obj,))
    if full in ("math.pi", "math.e", "math.inf", "numpy.inf", "torch.inf"):
        return Val({"pi": 3.141592653589793, "e": 2.718281828459045}.get(full[5:], float("inf")))
    return Val(objs=(library_name(m, full),))


def _of_instance(m: Machine, frame: Frame, node: ast.AST, obj: Obj, name: str) -> Val | None:
    if name in obj.attrs:
        val = obj.attrs[name]
        if obj.weights is not None and not val.objs:
            return val
        return val
    found = find_in_class(obj.cls, name) if obj.cls is not None else None
    if found is not None:
        return bind(m, frame, node, obj, found)
    fallback = find_in_class(obj.cls, "__getattr__") if obj.cls is not None else None
    if fallback is not None and not name.startswith("__"):
        from auditor.source.flow.calls import call_function

        return call_function(m, node, fallback.objs[0], [Val(objs=(obj,)), Val(name)], {})
    if name == "__class__" and obj.cls is not None:
        return Val(objs=(obj.cls,))
    return None


def bind(m: Machine, frame: Frame, node: ast.AST, obj: Obj, found: Val) -> Val:
    """A class attribute seen through an instance: methods are bound, properties are called."""
    out: Val | None = None
    for item in found.objs:
        if item.kind != "function":
            continue
        marks = item.data[4]
        if any(mark in ("property", "cached_property", "functools.cached_property") for mark in marks):
            from auditor.source.flow.calls import call_function

            one = call_function(m, node, item, [Val(objs=(obj,))], {})
        elif "staticmethod" in marks:
            one = Val(objs=(item,))
        else:
            method = m.new("method", item.name)
            owner = obj.cls if "classmethod" in marks and obj.cls is not None else obj
            method.data = (item, owner)
            one = Val(objs=(method,))
        out = one if out is None else join(out, one)
    return found if out is None else out
