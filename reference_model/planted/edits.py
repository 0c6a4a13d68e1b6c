"""Changes of an exported script, by its syntax tree: one statement or expression for others, and code added."""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass

import libcst as cst


class PlantedError(ValueError):
    """A planted violation that does not exist or no longer fits the script; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Swap:
    """In the function ``where`` (``function`` or ``Class.method``), ``old`` becomes ``new``.

    ``old`` is one statement or expression, told by its syntax, and must be there exactly once; ``new`` is an expression
    for an expression, any number of statements for a statement.
    """

    where: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Add:
    """Code of the top level, put before the function or class ``before``."""

    before: str
    text: str


Edit = Swap | Add


def edited(script: str, edits: tuple[Edit, ...]) -> str:
    """``script`` with all ``edits`` made, one after the other. Raises `PlantedError`."""
    tree = cst.parse_module(script)
    for edit in edits:
        tree = _added(tree, edit) if isinstance(edit, Add) else _swapped(tree, edit)
    return tree.code


def _added(tree: cst.Module, edit: Add) -> cst.Module:
    new = cst.parse_module(textwrap.dedent(edit.text)).body
    spaced = [node.with_changes(leading_lines=[cst.EmptyLine(indent=False)] * 2) if _is_definition(node) else node
              for node in new]  # fmt: skip
    for place, node in enumerate(tree.body):
        if isinstance(node, cst.FunctionDef | cst.ClassDef) and node.name.value == edit.before:
            return tree.with_changes(body=[*tree.body[:place], *spaced, *tree.body[place:]])
    raise PlantedError(f"the script has no {edit.before}")


def _is_definition(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.FunctionDef | cst.ClassDef)


def _swapped(tree: cst.Module, edit: Swap) -> cst.Module:
    swapper = _Swapper(edit)
    changed = tree.visit(swapper)
    if swapper.count != 1:
        raise PlantedError(f"{edit.where} has {edit.old!r} {swapper.count} times, not once")
    assert isinstance(changed, cst.Module)
    return changed


def _is_expression(body: list[ast.stmt]) -> bool:
    return len(body) == 1 and isinstance(body[0], ast.Expr)


class _Swapper(cst.CSTTransformer):
    """Swaps within one function."""

    def __init__(self, edit: Swap) -> None:
        old = ast.parse(textwrap.dedent(edit.old)).body
        self.new = textwrap.dedent(edit.new).strip()
        self.is_expression = _is_expression(old) and _is_expression(ast.parse(self.new).body)
        self.old = ast.dump(old[0].value if self.is_expression and isinstance(old[0], ast.Expr) else old[0])
        self.where = edit.where.split(".")
        self.path: list[str] = []
        self.count = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Follow the path to the function."""
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.path.append(node.name.value)
            return self.path[: len(self.where)] == self.where[: len(self.path)]
        return True

    def on_leave(  # type: ignore[override]
        self, original_node: cst.CSTNode, updated_node: cst.CSTNode
    ) -> cst.CSTNode | cst.FlattenSentinel[cst.BaseStatement]:
        """Swap what is the same as ``old``."""
        inside = self.path[: len(self.where)] == self.where
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self.path.pop()
        if not inside or not self._same(original_node):
            return updated_node
        self.count += 1
        if self.is_expression:
            return cst.parse_expression(self.new)
        return cst.FlattenSentinel(list(cst.parse_module(self.new + "\n").body))

    def _same(self, node: cst.CSTNode) -> bool:
        if self.is_expression:
            if not isinstance(node, cst.BaseExpression):
                return False
            code = f"({cst.Module([]).code_for_node(node)})"
        elif isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            code = textwrap.dedent(cst.Module([node]).code)
        else:
            return False
        try:
            [found] = ast.parse(code).body
        except (SyntaxError, ValueError):
            return False
        return ast.dump(found.value if self.is_expression and isinstance(found, ast.Expr) else found) == self.old
