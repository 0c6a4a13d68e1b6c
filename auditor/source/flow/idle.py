"""Turns of a loop in which there is nothing to do: ``if not windows: update(...); continue``."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_SIZES = ("numel", "size", "nelement")


def idle_turn(test: ast.expr, body: list[ast.stmt], loop: ast.AST | None) -> bool:
    """Whether ``body`` runs, and the turn ends with it, only where a collection that the loop's body goes through is
    empty. A plain flag (``if not warmed_up:``) is no collection."""
    if loop is None or not body or not isinstance(body[-1], ast.Continue):
        return False
    name = _emptied(test)
    return bool(name) and name in set(_collections(loop))


def _emptied(test: ast.expr) -> str:
    """The name that the test finds empty."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _named(test.operand)
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        right = test.comparators[0]
        if isinstance(right, ast.Constant) and right.value == 0:
            return _counted(test.left)
    return ""


def _counted(node: ast.expr) -> str:
    """The collection of ``len(x)``, ``x.numel()``, ``x.size``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len" and node.args:
        return _named(node.args[0])
    method = node.func if isinstance(node, ast.Call) else node
    return _named(method.value) if isinstance(method, ast.Attribute) and method.attr in _SIZES else ""


def _named(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else _counted(node)


def _collections(loop: ast.AST) -> Iterator[str]:
    """Names that the loop's body goes through, indexes or takes the length of."""
    for node in ast.walk(loop):
        if isinstance(node, ast.For | ast.comprehension):
            yield _named(node.iter)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            yield _named(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("enumerate", "zip"):
            yield from (_named(argument) for argument in node.args)
