"""Assignments, and what an in-place change does: to tables, to parameters, to statistics."""

from __future__ import annotations

import ast

from auditor.source.facts import Origin, StateKind
from auditor.source.flow import lookups, mixes
from auditor.source.flow.calibration import statistics
from auditor.source.flow.iteration import is_tokens, make_tuple, peek
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.values import EMPTY, NOTHING, UNKNOWN, Labels, Obj, Val, join


def assign(m: Machine, frame: Frame, target: ast.AST, val: Val) -> None:
    """Bind a value to a name, attribute, subscript or pattern."""
    if m.gates:
        val = val.with_labels(m.gates)
    if isinstance(target, ast.Name):
        _bind(frame, target.id, val)
    elif isinstance(target, (ast.Tuple, ast.List)):
        _unpack(m, frame, target.elts, val)
    elif isinstance(target, ast.Starred):
        assign(m, frame, target.value, val)
    elif isinstance(target, ast.Attribute):
        from auditor.source.flow.expressions import evaluate

        set_attribute(m, target, evaluate(m, frame, target.value), target.attr, val)
    elif isinstance(target, ast.Subscript):
        _store(m, frame, target, val, augmented=False)


def _bind(frame: Frame, name: str, val: Val) -> None:
    if name in frame.global_names:
        frame.globals[name] = val
    elif name in frame.nonlocal_names:
        for scope in frame.closure:
            if name in scope:
                scope[name] = val
                return
        frame.env[name] = val
    else:
        frame.env[name] = val


def _unpack(m: Machine, frame: Frame, elts: list[ast.expr], val: Val) -> None:
    parts: list[Val] | None = None
    for obj in val.objs:
        if obj.kind in ("tuple", "list") and obj.items is not None and obj.elem is None and len(obj.items) == len(elts):
            own = [v.with_labels(val.labels | obj.labels, val.deps) for v in obj.items.values()]
            parts = own if parts is None else [join(a, b) for a, b in zip(parts, own, strict=True)]
    if parts is None and isinstance(val.const, tuple) and len(val.const) == len(elts):
        parts = [Val(c, val.labels, val.deps) for c in val.const]
    if parts is None:
        inner = peek(m, val)
        parts = [Val(UNKNOWN, inner.labels, inner.deps, inner.objs)] * len(elts)
    for elt, part in zip(elts, parts, strict=True):
        assign(m, frame, elt, part)


def set_attribute(m: Machine, node: ast.AST, owner: Val, name: str, val: Val) -> None:
    """``owner.name = val``."""
    if name in ("data", "grad") and not any(o.kind == "instance" for o in owner.objs):
        if name == "data":
            in_place(m, node, owner, val, key=None)
        else:
            for cell in m.par_cells(owner.labels):
                cell.grads = cell.grads | m.deep(val)
        return
    if name == "forward":
        _replace_forward(m, owner, val)
    for obj in owner.objs:
        if obj.kind in ("instance", "class", "module", "function", "opaque"):
            if name == "forward":
                obj.attrs.pop(name, None)
            m.set_attr(obj, name, val)
            _adopt(m, obj, val)
        elif obj.kind == "environ":
            continue
    if not owner.objs and val.objs:
        m.acted()


def _replace_forward(m: Machine, owner: Val, val: Val) -> None:
    """``layer.forward = recording``: layers that nobody knows run it from now on; anything else puts theirs back."""
    library = any(o.kind == "builtin" for o in owner.objs)
    if not library and any(o.kind in ("instance", "class") for o in owner.objs):
        return
    if any(o.kind in ("function", "method", "partial") for o in val.objs):
        m.patches.append((val, library))
    else:
        m.patches.clear()


def _adopt(m: Machine, owner: Obj, val: Val) -> None:
    """A module's submodules and parameters share its weight cell."""
    if owner.weights is None:
        return
    for obj in val.objs:
        if obj.weights is not None:
            m.merge_cells(owner.weights, obj.weights)
        elif obj.kind in ("list", "tuple", "dict"):
            inner = [*(obj.items or {}).values(), *([obj.elem] if obj.elem is not None else [])]
            for part in inner:
                for o in part.objs:
                    if o.weights is not None and o.kind in ("instance", "opaque"):
                        m.merge_cells(owner.weights, o.weights)


def augmented(m: Machine, frame: Frame, node: ast.AugAssign) -> None:
    """``target op= value``."""
    from auditor.source.flow.expressions import evaluate
    from auditor.source.flow.operators import binary

    val = evaluate(m, frame, node.value)
    target = node.target
    if isinstance(target, ast.Name):
        old = evaluate(m, frame, ast.copy_location(ast.Name(target.id, ast.Load()), target))
        if any(o.kind in ("cell", "list", "dict", "opaque") for o in old.objs):
            in_place(m, node, old, val, key=None)
            return
        _bind(frame, target.id, binary(m, node, node.op, old, val))
    elif isinstance(target, ast.Attribute):
        owner = evaluate(m, frame, target.value)
        from auditor.source.flow.attributes import attribute

        old = attribute(m, frame, node, owner, target.attr)
        if any(o.kind in ("cell", "list", "dict") for o in old.objs) or m.par_cells(old.labels):
            in_place(m, node, old, val, key=None)
        new = binary(m, node, node.op, old, val)
        moved = m.all_loops() if not old.objs else EMPTY
        set_attribute(
            m,
            node,
            owner,
            target.attr,
            Val(new.const if not moved else UNKNOWN, new.labels, new.deps | moved, old.objs),
        )
    elif isinstance(target, ast.Subscript):
        if isinstance(node.op, ast.Mult):
            mixes.late(m, m.deep(val), m.deep(evaluate(m, frame, target.value)))
        _store(m, frame, target, val, augmented=True)


def _store(m: Machine, frame: Frame, target: ast.Subscript, val: Val, *, augmented: bool) -> None:
    from auditor.source.flow.expressions import evaluate, subscript_base

    base = subscript_base(m, frame, target.value)
    key = evaluate(m, frame, target.slice)
    environ = any(o.kind == "environ" for o in base.objs)
    if environ:
        if isinstance(key.const, str):
            m.environ[key.const] = val
        return
    in_place(m, target, base, val, key=key, augmented=augmented)
    if not base.objs and not is_parameter(m, base.labels):
        hangs = m.gates | frozenset(m.of_kind(m.deep(key), "look", "upd"))
        _relabel(m, frame, target.value, base.with_labels(m.without(m.deep(val), "acc") | hangs, val.deps))
    elif not base.objs and (made := frozenset(m.of_kind(m.deep(val), "stat", "upd"))):
        _relabel(m, frame, target.value, base.with_labels(made))  # a state dictionary, loaded again later


def _relabel(m: Machine, frame: Frame, owner: ast.AST, val: Val) -> None:
    """An array without an identity of its own was written to: whoever holds it holds more."""
    if isinstance(owner, ast.Name):
        _bind(frame, owner.id, val)
    elif isinstance(owner, ast.Attribute):
        from auditor.source.flow.expressions import evaluate

        set_attribute(m, owner, evaluate(m, frame, owner.value), owner.attr, val)


def in_place(m: Machine, node: ast.AST, target: Val, val: Val, *, key: Val | None, augmented: bool = True) -> None:
    """An object's contents change by ``val`` (under ``key``): record what that means for the state it is."""
    added = m.deep(val) | m.gates
    key_labels = EMPTY if key is None else m.deep(key)
    counted = key is not None and is_tokens(m, key_labels) and not _is_output(m, m.deep(target))
    if key is not None:
        mixes.late(m, key_labels, m.deep(target))
        added = added if counted else added | frozenset(m.of_kind(key_labels, "look", "upd"))
    else:
        added = m.without(added, "odd", "mix")
    upd = EMPTY
    if counted and (augmented or is_tokens(m, added) or not m.of_kind(added, "nll", "par")):
        upd = m.update(node, StateKind.TABLE, key_labels | m.without(added, "look"))
    stat = statistics(m, node, added) if key is None or augmented or m.in_hook else EMPTY
    for obj in target.objs:
        if obj.kind in ("cell", "list", "dict", "opaque", "set"):
            kept = counted or obj.data == "table"  # what was read of a table and goes back is a count, no reading
            labels = m.without(added, "acc", "look") if kept else m.without(added, "acc") if stat else added
            labels = m.without(labels, "grd") if obj.weights is not None else labels
            if obj.kind != "dict" or key is None or key.known or lookups.file_key(key) is None:
                m.taint(obj, labels | upd | stat, val.deps)
            if upd and obj.weights is None:
                obj.data = "table"
                for part in val.objs:
                    part.data = "table" if part.kind in ("list", "dict") else part.data
            what = Val(val.const, m.without(val.labels, "look"), val.deps, val.objs, val.text) if kept else val
            _keep(m, obj, what.with_labels(stat), key)
        elif obj.kind == "instance":
            setter = "__setitem__"
            m.taint(obj, added | upd) if setter not in obj.attrs else None
    _parameters(m, node, target, added)


def _is_output(m: Machine, labels: Labels) -> bool:
    """Whether a value is what a model made of tokens: writing into it fills no table."""
    return {"par", "acc", "src"} <= {m.labels[n].kind for n in labels}


def _keep(m: Machine, obj: Obj, val: Val, key: Val | None) -> None:
    if obj.kind not in ("list", "dict", "opaque") or key is None:
        return
    if (
        key.known
        and isinstance(key.const, (str, int))
        and obj.items is not None
        and (obj.kind == "dict" or key.const in obj.items)
    ):
        m.add_element(obj, val, key.const)
    elif obj.kind == "dict" and obj.items is not None and (name := lookups.file_key(key)) is not None:
        m.add_element(obj, val, name)
    else:
        if obj.kind == "dict":
            obj.attrs["%key"] = join(
                obj.attrs.get("%key", NOTHING), Val(UNKNOWN, key.labels, key.deps, key.objs, key.string)
            )
        m.add_element(obj, val)


def _parameters(m: Machine, node: ast.AST, target: Val, added: Labels) -> None:
    """In-place writes to parameters outside an optimizer."""
    cells = m.par_cells(target.labels) if is_parameter(m, target.labels) else []
    for obj in target.objs:
        if obj.weights is not None and obj.kind == "cell":
            cells.append(obj.weights.root())
    taken = apply_gradients(m, node, added) if cells else EMPTY
    for cell in cells:
        cell.labels = cell.labels | taken
        own = m.without(added, "par", "acc")
        fresh = m.without(own, "upd") - cell.labels
        upd = EMPTY
        told = m.has_origin(fresh, Origin.VAL) or m.has_origin(fresh, Origin.TRAIN)
        if told and m.of_kind(own, "nll"):
            kind = StateKind.VECTOR if cell.vector else StateKind.WEIGHTS
            upd = m.update(node, kind, added, cell.id)
        elif m.of_kind(own, "stat"):
            upd = calibration(m, own)
            m.live_statistics.update(m.of_kind(own, "stat"))
        cell.labels = cell.labels | upd | frozenset(m.of_kind(own, "upd", "stat"))
        m.acted()


def apply_gradients(m: Machine, node: ast.AST, labels: Labels) -> Labels:
    """Explicit gradients among ``labels`` are applied to what they are gradients of: the updates' labels."""
    upd: Labels = EMPTY
    for n in m.of_kind(labels, "grd"):
        cause, cells = m.gradients[m.labels[n].key[0]]
        for cell in cells:
            kind = StateKind.VECTOR if cell.vector else StateKind.WEIGHTS
            upd = upd | m.update(node, kind, cause, cell.id, made_in=cell.made_in)
    return upd


def is_parameter(m: Machine, labels: Labels) -> bool:
    """Whether a value is parameters themselves, not something computed with them."""
    kinds = {m.labels[n].kind for n in labels}
    return "par" in kinds and not kinds & {"src", "acc", "nll", "gen"}


def calibration(m: Machine, labels: Labels) -> Labels:
    """Labels of the calibration updates behind the statistics in ``labels``."""
    return frozenset(m.label("upd", m.labels[n].key[0]) for n in m.of_kind(labels, "stat"))


def new_list(m: Machine, parts: list[Val]) -> Val:
    """A list value of known parts."""
    return make_tuple(m, parts, "list")
