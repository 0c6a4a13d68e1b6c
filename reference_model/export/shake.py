"""Statements of the one file: imports gathered, and only what the roots reach is kept."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import libcst as cst

from reference_model.export.bundle import Module, defines, is_own, is_type_checking, renamed


@dataclass(slots=True)
class Statement:
    """One statement of a module's top level, with the text that documents it."""

    module: str
    text: str
    defines: tuple[str, ...]
    uses: frozenset[str]


@dataclass(slots=True)
class Parts:
    """What the modules consist of."""

    statements: list[Statement]
    imports: dict[str, str]
    """Bound name to its statement, such as ``from torch import nn``."""


def taken_apart(modules: Iterable[Module], final: dict[tuple[str, str], str]) -> Parts:
    """All statements with their final names. Raises `ExportError`."""
    parts = Parts([], {})
    for module in modules:
        tree = renamed(module, final)
        last: Statement | None = None
        for number, node in enumerate(tree.body):
            if _is_text(node):
                if last is not None and number:
                    last.text += tree.code_for_node(node)
                continue
            last = None
            if is_type_checking(node) or _take_import(node, parts.imports):
                continue
            text = tree.code_for_node(node)
            last = Statement(module.name, text, tuple(defines(node)), used_names(text))
            parts.statements.append(last)
    return parts


def _is_text(node: cst.CSTNode) -> bool:
    return (
        isinstance(node, cst.SimpleStatementLine)
        and isinstance(node.body[0], cst.Expr)
        and isinstance(node.body[0].value, cst.SimpleString | cst.ConcatenatedString)
    )


def _take_import(node: cst.CSTNode, imports: dict[str, str]) -> bool:
    """Whether ``node`` is an import; the bound names of one from outside the package are noted."""
    if not isinstance(node, cst.SimpleStatementLine) or not isinstance(node.body[0], cst.Import | cst.ImportFrom):
        return False
    if is_own(node.body[0]):
        return True
    for statement in ast.parse(cst.Module([node]).code).body:
        if isinstance(statement, ast.ImportFrom) and statement.module != "__future__":
            for alias in statement.names:
                imports[alias.asname or alias.name] = f"from {statement.module} import {_alias(alias)}"
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                imports[alias.asname or alias.name.split(".")[0]] = f"import {_alias(alias)}"
    return True


def _alias(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name


def used_names(text: str) -> frozenset[str]:
    """Names that a text reads or writes."""
    return frozenset(n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name))


def reached(statements: list[Statement], roots: Iterable[str]) -> list[Statement]:
    """The statements that ``roots`` need, directly or not, in their order."""
    owners: dict[str, list[Statement]] = {}
    for statement in statements:
        for name in statement.defines:
            owners.setdefault(name, []).append(statement)
    wanted: set[int] = set()
    waiting = list(roots)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for statement in owners.get(name, []):
            wanted.add(id(statement))
            waiting += statement.uses
    return [statement for statement in statements if id(statement) in wanted]


def import_lines(imports: dict[str, str], used: Iterable[str]) -> str:
    """The imports of ``used`` names: the standard library's, then the others'."""
    lines = sorted({imports[name] for name in used if name in imports}, key=lambda line: (line.split()[0], line))
    merged: dict[str, list[str]] = {}
    plain: list[str] = []
    for line in lines:
        if line.startswith("from "):
            source, _, name = line.removeprefix("from ").partition(" import ")
            merged.setdefault(source, []).append(name)
        else:
            plain.append(line)
    for source, names in merged.items():
        text = f"from {source} import {', '.join(sorted(names))}"
        if len(text) > 120:
            text = f"from {source} import (\n" + "".join(f"    {name},\n" for name in sorted(names)) + ")"
        plain.append(text)
    own = [line for line in plain if line.split()[1].split(".")[0] in sys.stdlib_module_names]
    return "\n".join(own) + "\n\n" + "\n".join(line for line in plain if line not in own) + "\n"


def headed(statements: list[Statement]) -> str:
    """The statements' text, each module's part under a line with its name."""
    text, module = "", ""
    for statement in statements:
        if statement.module != module:
            module = statement.module
            text = text.rstrip() + f"\n\n\n# ---- {module.replace('.', '/')} ----\n"
        text += statement.text
    return text.lstrip("\n")
