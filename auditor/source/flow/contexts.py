"""``with``: what a context manager does before its body, and what it does after.

A generator that serves as a context manager is walked up to its ``yield``, then the body, then the rest. What happens
on leaving stands at the end of the body, so that a step taken there comes after what the body scored.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from auditor.source.flow.calls import call_value
from auditor.source.flow.definitions import find_in_class
from auditor.source.flow.expressions import evaluate
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.targets import assign
from auditor.source.flow.values import NONE, Val

Walk = Callable[[Machine, Frame, Sequence[ast.stmt]], Any]


def walk_with(m: Machine, frame: Frame, node: ast.With | ast.AsyncWith, walk: Walk) -> Any:
    """Walk a ``with`` statement; the flow that leaves its body."""
    return _enter(m, frame, node, 0, walk)


def _enter(m: Machine, frame: Frame, node: ast.With | ast.AsyncWith, index: int, walk: Walk) -> Any:
    if index == len(node.items):
        return walk(m, frame, node.body)
    item = node.items[index]
    flows: list[Any] = []
    depth, doubts = len(m.frames), len(m.uncertain)

    def body(val: Val) -> None:
        if flows:
            return
        above, doubted = m.frames[depth:], m.uncertain[doubts:]
        del m.frames[depth:], m.uncertain[doubts:]
        try:
            if item.optional_vars is not None:
                assign(m, frame, item.optional_vars, val)
            flows.append(_enter(m, frame, node, index + 1, walk))
        finally:
            m.frames.extend(above)
            m.uncertain.extend(doubted)
        frame.node = _end(node)

    m.bodies[id(item.context_expr)] = body
    try:
        val = evaluate(m, frame, item.context_expr)
    finally:
        m.bodies.pop(id(item.context_expr), None)
    if not flows:
        body(_call(m, frame, item.context_expr, val, "__enter__", []) or val)
        _call(m, frame, frame.node or node, val, "__exit__", [NONE, NONE, NONE])
    return flows[0]


def _call(m: Machine, frame: Frame, node: ast.AST, val: Val, name: str, args: list[Val]) -> Val | None:
    """Call a method of the user's class that a context manager is; None when it is none."""
    result: Val | None = None
    for obj in val.objs:
        method = find_in_class(obj.cls, name) if obj.kind == "instance" and obj.cls is not None else None
        if method is not None:
            result = call_value(m, frame, node, method, [Val(objs=(obj,)), *args], {})
    return result


def _end(node: ast.With | ast.AsyncWith) -> ast.stmt:
    """A place after everything in the body."""
    line = getattr(node, "end_lineno", None) or node.lineno
    return ast.Pass(lineno=line, end_lineno=line, col_offset=9999)
