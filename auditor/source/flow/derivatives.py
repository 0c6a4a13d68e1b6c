"""Functions of functions: gradients of a function, a model called with other parameters, a fold over a list."""

from __future__ import annotations

import ast

from auditor.source.flow import mixes
from auditor.source.flow.calls import Args, Kwargs, call_value
from auditor.source.flow.iteration import make_tuple, peek
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.values import NOTHING, UNKNOWN, Obj, Val, join

_LEAST = frozenset({"min", "minimum", "fmin"})


def explicit(m: Machine, loss: Val, wanted: Val) -> Val:
    """The gradient of ``loss``: what is done with it is the update of ``wanted``, or of all that made the loss."""
    labels = m.deep(loss)
    cells = m.par_cells(m.deep(wanted)) or m.par_cells(labels)
    number = len(m.gradients)
    m.gradients.append((labels, cells))
    return Val(UNKNOWN, m.without(labels, "acc", "nll", "src", "par") | {m.label("grd", number)}, loss.deps)


def transformed(m: Machine, frame: Frame, node: ast.AST, name: str, args: Args, kwargs: Kwargs) -> Val:
    """``grad(f)``, ``grad_and_value(f)``, ``value_and_grad(f)``: a function that gives the gradient of ``f``."""
    obj = m.new("derivative", name)
    obj.elem = args[0] if args else kwargs.get("func", NOTHING)
    obj.data = (args[1] if len(args) > 1 else kwargs.get("argnums", Val(0))).const
    return Val(objs=(obj,))


def call_derivative(m: Machine, frame: Frame, node: ast.AST, obj: Obj, args: Args, kwargs: Kwargs) -> Val:
    """Call what `transformed` made."""
    value = call_value(m, frame, node, obj.elem or NOTHING, args, kwargs)
    wanted = args[obj.data] if isinstance(obj.data, int) and obj.data < len(args) else NOTHING
    gradient = explicit(m, value, wanted)
    last = obj.name.rpartition(".")[2]
    if last == "grad":
        return gradient
    return make_tuple(m, [gradient, value] if last == "grad_and_value" else [value, gradient])


def functional_call(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """``functional_call(model, parameters, arguments)``."""
    if len(args) < 2:
        return NOTHING
    given = args[2] if len(args) > 2 else kwargs.get("args", NOTHING)
    inputs = [v for o in given.objs if o.kind == "tuple" for v in (o.items or {}).values()] or [given]
    given_labels = m.deep(args[1])
    cells = [o.weights.root() for o in args[0].objs if o.weights is not None]
    held = [cell.labels for cell in cells]
    for cell in cells:
        cell.labels = cell.labels | m.without(given_labels, "par", "acc", "src")
    try:
        return call_value(m, frame, node, args[0], inputs, {}).with_labels(given_labels)
    finally:
        for cell, labels in zip(cells, held, strict=True):
            cell.labels = labels


def reduced(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """``functools.reduce(f, items, first)``."""
    if len(args) < 2:
        return NOTHING
    item = peek(m, args[1])
    if any(o.name.rpartition(".")[2] in _LEAST for o in args[0].objs if o.kind == "builtin"):
        mixes.least_of(m, node, args[1])
    first = args[2] if len(args) > 2 else item
    return join(first, call_value(m, frame, node, args[0], [join(first, item), item], {}))
