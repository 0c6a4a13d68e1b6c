"""Hash tables whose size is written out where they are made: shrunk with the data, or their collisions never show.

A table is an array constructor with one large literal size (``np.zeros(1 << 22)``). Where the same size, or the mask
one below it, is written elsewhere in the file, it belongs to the same tables and shrinks with them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from auditor.behaviour.scale.model import Change
from auditor.behaviour.scale.rewrite import Span

LEAST = 1 << 14
TOY = 256
"""Buckets of a toy table: as many tokens fall into one as in the claimed run."""
_MAKERS = frozenset({"zeros", "full", "empty", "ones", "zeros_like"})
_MAKER_MODULES = frozenset({"np", "numpy", "torch", "xp", "cp"})
_Literal = tuple[ast.expr, int]


def shrink(file: str, tree: ast.Module, taken: set[Span]) -> tuple[list[Change], list[tuple[Span, str]]]:
    """Changes and edits for one file; spans in ``taken`` are rewritten already."""
    sizes = {value for value in _made(tree) if value & (value - 1) == 0 or value % 2}
    if not sizes:
        return [], []
    toy = {value: _toy(value) for value in sizes}
    changes: list[Change] = []
    edits: list[tuple[Span, str]] = []
    for node, value in _literals(tree):
        new = toy.get(value)
        if new is None and value + 1 in toy and (value & (value + 1)) == 0:
            new = toy[value + 1] - 1
        span = _span(node)
        if new is None or span is None or span in taken:
            continue
        edits.append((span, str(new)))
        changes.append(Change("table size", str(value), str(new), "buckets", "rewrite", f"{file}:{node.lineno}"))
    return changes, edits


def _toy(value: int) -> int:
    return TOY if value & (value - 1) == 0 else TOY - 5


def _made(tree: ast.Module) -> Iterator[int]:
    """Sizes of one-dimensional tables that are written out in their constructors."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _MAKERS):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id in _MAKER_MODULES and node.args):
            continue
        size = node.args[0]
        if isinstance(size, ast.Tuple | ast.List) and size.elts:
            size = size.elts[-1]
        value = _worth(size)
        if value is not None and value >= LEAST:
            yield value


def _literals(tree: ast.Module) -> Iterator[_Literal]:
    """The outermost literal integers of at least `LEAST` less one, with what they are worth."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        value = _worth(node) if isinstance(node, ast.expr) else None
        if value is not None and value >= LEAST - 1 and isinstance(node, ast.expr):
            yield node, value
        else:
            waiting.extend(ast.iter_child_nodes(node))


def _worth(node: ast.AST) -> int | None:
    """The value of a literal integer, or of a shift, power, product or difference of literals."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _worth(node.left), _worth(node.right)
    if left is None or right is None or abs(left) > 1 << 40:
        return None
    match node.op:
        case ast.LShift() if 0 <= right <= 40:
            return left << right
        case ast.Pow() if 0 <= right <= 40 and 0 <= left <= 16:
            return int(left**right)
        case ast.Mult():
            return left * right
        case ast.Sub():
            return left - right
    return None


def _span(node: ast.expr) -> Span | None:
    if node.end_lineno != node.lineno or node.end_col_offset is None:
        return None
    return node.lineno, node.col_offset, node.end_col_offset
