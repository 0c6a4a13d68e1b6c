"""Methods that train and carry models: gradients, optimizer steps, states, parameters, hooks."""

from __future__ import annotations

import ast
from collections.abc import Callable

from auditor.source.facts import Origin, StateKind
from auditor.source.flow.calls import Args, Kwargs, call_value
from auditor.source.flow.iteration import generic
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.targets import calibration, set_attribute
from auditor.source.flow.values import (
    EMPTY,
    NONE,
    NOTHING,
    UNKNOWN,
    Labels,
    Val,
)

Method = Callable[[Machine, Frame, ast.AST, Val, Args, Kwargs], Val]


def _backward(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    labels = m.deep(owner)
    for cell in m.par_cells(labels):
        cell.grads = cell.grads | labels
        for hook in m.grad_hooks:
            call_value(m, frame, node, hook, [Val(UNKNOWN, frozenset({m.par(cell)}))], {})
    m.acted()
    return NONE


def _register_grad_hook(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    m.grad_hooks.extend(a for a in args[:1] if all(a is not known for known in m.grad_hooks))
    return NONE


def _step(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    optimizers = [o for v in (owner, *args) for o in v.objs if o.kind == "optimizer"]
    if any(o.kind == "scheduler" for o in owner.objs):
        return NONE
    for obj in [o for o in owner.objs if o.kind == "opaque" and not optimizers]:
        if m.of_kind(obj.labels, "par"):
            optimizers.append(obj)
    if not optimizers:
        return generic(m, [owner, *args], kwargs) if not m.of_kind(owner.labels, "par") else NONE
    for closure in [a for a in args if any(o.kind in ("function", "method") for o in a.objs)]:
        call_value(m, frame, node, closure, [], {})
    for obj in optimizers:
        step_cells(m, node, obj.labels)
    return NONE


def step_cells(m: Machine, node: ast.AST, labels: Labels) -> None:
    """An optimizer step: every weight cell among its parameters takes what its gradients are made of."""
    cells = m.par_cells(labels) or [c for c in m.cells if c.parent is None and c.grads]
    for cell in cells:
        if not cell.grads:
            continue
        kind = StateKind.VECTOR if cell.vector else StateKind.WEIGHTS
        upd = m.update(node, kind, cell.grads, cell.id, made_in=cell.made_in)
        cell.labels = cell.labels | upd | _lasting(m, cell.grads)
        if not m.uncertain:
            cell.grads = EMPTY


def _zero_grad(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    labels = m.deep(owner)
    for cell in m.par_cells(labels):
        cell.grads = EMPTY
    return NONE


def _load_state_dict(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    if not args or any(o.kind in ("optimizer", "scheduler") for o in owner.objs):
        return NONE
    labels = m.deep(args[0], 4)
    taken = frozenset(m.of_kind(labels, "upd", "ext", "look")) | calibration(m, labels)
    m.live_statistics.update(m.of_kind(labels, "stat"))
    cells = [o.weights.root() for o in owner.objs if o.weights is not None] or m.par_cells(owner.labels)
    for cell in cells:
        cell.labels = taken if not m.uncertain else cell.labels | taken
    m.acted()
    return NONE


def _parameters(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    return Val(UNKNOWN, m.deep(owner), EMPTY)


def _modules(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("list")
    obj.elem = Val(UNKNOWN, m.deep(owner))
    return Val(objs=(obj,))


def _register_buffer(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    name, val = args[0] if args else NOTHING, args[1] if len(args) > 1 else kwargs.get("tensor", NONE)
    if isinstance(name.const, str):
        set_attribute(m, node, owner, name.const, val)
    return NONE


def _register_hook(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    if args:
        m.hooks.append(args[0])
        handle = m.new("hook")
        handle.data = args[0]
        return Val(objs=(handle,))
    return NOTHING


def _remove(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    nodes = {id(f.data[0]) for o in owner.objs if o.kind == "hook" for f in o.data.objs if f.kind == "function"}
    gone = [o.data for o in owner.objs if o.kind == "hook"]
    m.hooks[:] = [
        h
        for h in m.hooks
        if not any(h is g for g in gone) and not any(f.kind == "function" and id(f.data[0]) in nodes for f in h.objs)
    ]
    return NONE


def _lasting(m: Machine, grads: Labels) -> Labels:
    """What weights keep of their gradients: other weights, and tables of validation tokens.

    A table of training tokens that shaped the training loss is not read when the weights are.
    """
    events = {n: m.events[m.labels[n].key[0]] for n in m.of_kind(grads, "upd", "look")}
    return frozenset(
        n
        for n, e in events.items()
        if (e.what == "update" and e.data["kind"] is not StateKind.TABLE)
        or e.what == "stat"
        or m.has_origin(e.labels, Origin.VAL)
    )


TRAINING: dict[str, Method] = {
    "backward": _backward,
    "step": _step,
    "zero_grad": _zero_grad,
    "load_state_dict": _load_state_dict,
    "parameters": _parameters,
    "named_parameters": _modules,
    "state_dict": _parameters,
    "modules": _modules,
    "named_modules": _modules,
    "children": _modules,
    "named_children": _modules,
    "buffers": _modules,
    "named_buffers": _modules,
    "register_buffer": _register_buffer,
    "register_forward_hook": _register_hook,
    "register_forward_pre_hook": _register_hook,
    "register_post_accumulate_grad_hook": _register_grad_hook,
    "remove": _remove,
}
