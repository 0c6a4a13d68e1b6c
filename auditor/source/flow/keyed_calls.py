"""Library functions that fill or search a table by keys, or write parameters from a vector."""

from __future__ import annotations

import ast

from auditor.source.flow import lookups
from auditor.source.flow.calls import Args, Kwargs
from auditor.source.flow.iteration import generic
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.targets import in_place
from auditor.source.flow.values import NONE, NOTHING, Val


def insort(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """``bisect.insort(keys, key)``."""
    if len(args) >= 2:
        in_place(m, node, args[0], NOTHING, key=args[1])
    return NONE


def sparse(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """``torch.sparse_coo_tensor(indices, values)``: a table filled at its indices."""
    obj = m.new("cell", "sparse")
    if len(args) >= 2:
        in_place(m, node, Val(objs=(obj,)), args[1], key=args[0])
    return Val(objs=(obj,))


def to_parameters(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """``vector_to_parameters(vector, parameters)``."""
    if len(args) >= 2:
        in_place(m, node, args[1], args[0], key=None)
    return NONE


def bisect(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """``bisect_left(keys, key)``, ``searchsorted(keys, key)``."""
    return lookups.found_in(m, node, args) or generic(m, args, kwargs)
