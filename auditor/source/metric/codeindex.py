"""Functions, classes, calls and constants of all modules of a submission, by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(eq=False)
class Function:
    """One function (or a module's top level, ``node`` None) with the nodes that are its own."""

    file: str
    qualname: str
    node: FunctionNode | None
    parent: Function | None
    class_name: str | None
    body: list[ast.stmt]
    nodes: list[ast.AST] = field(default_factory=list)
    """Every node in it except those of nested functions; lambdas and comprehensions belong to it."""
    params: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The last part of the qualified name."""
        return self.qualname.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of interest: ``target`` takes ``value`` (no target: a bare call; ``returns``: a return)."""

    function: Function
    target: ast.expr | None
    value: ast.expr
    returns: bool
    calls: tuple[ast.Call, ...]
    words: frozenset[str]


@dataclass
class Index:
    """All functions and classes of the trees, and the constants that modules bind once."""

    trees: dict[str, ast.Module]
    functions: list[Function] = field(default_factory=list)
    by_name: dict[str, list[Function]] = field(default_factory=dict)
    classes: dict[str, tuple[str, ast.ClassDef]] = field(default_factory=dict)
    constants: dict[str, dict[str, object]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    """``g = f`` at top level: other names of functions."""
    steps: list[Step] | None = None
    """The statements that bind names, read once and shared by all flows over this index."""

    def resolve(self, func: ast.expr) -> list[Function]:
        """The functions that a call of ``func`` may enter, by its last name (at most four)."""
        name = func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""
        found = self.by_name.get(self.aliases.get(name, name), [])
        return found if len(found) <= 4 else []


def build_index(trees: dict[str, ast.Module]) -> Index:
    """Index ``trees`` in one walk each."""
    index = Index(trees)
    for file, tree in trees.items():
        module = Function(file, "<module>", None, None, None, tree.body)
        index.functions.append(module)
        index.constants[file] = {}
        _visit(index, module, tree, None)
        _module_constants(index, file, tree)
    for function in index.functions:
        if function.node is not None:
            index.by_name.setdefault(function.name, []).append(function)
    return index


def _visit(index: Index, owner: Function, root: ast.AST, class_name: str | None) -> None:
    stack: list[tuple[ast.AST, str | None]] = [(child, class_name) for child in ast.iter_child_nodes(root)]
    while stack:
        node, cls = stack.pop()
        if isinstance(node, FunctionNode):
            prefix = "" if owner.node is None else owner.qualname + "."
            args = node.args
            params = [a.arg for a in [*args.posonlyargs, *args.args, *args.kwonlyargs]]
            inner = Function(owner.file, f"{prefix}{cls + '.' if cls else ''}{node.name}", node, owner, cls, node.body)
            inner.params = params
            index.functions.append(inner)
            for outside in [*node.decorator_list, *args.defaults, *[d for d in args.kw_defaults if d]]:
                owner.nodes.extend(ast.walk(outside))
            for statement in node.body:
                _visit(index, inner, ast.Module([statement], []), None)
            continue
        owner.nodes.append(node)
        inside = cls
        if isinstance(node, ast.ClassDef):
            index.classes.setdefault(node.name, (owner.file, node))
            inside = node.name
        stack.extend((child, inside) for child in ast.iter_child_nodes(node))


def _module_constants(index: Index, file: str, tree: ast.Module) -> None:
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            for target, value in _pairs(statement.targets[0], statement.value):
                if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
                    index.constants[file][target.id] = value.value
                elif isinstance(target, ast.Name) and isinstance(value, ast.Name):
                    index.aliases.setdefault(target.id, value.id)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        yield from zip(target.elts, value.elts, strict=True)
    else:
        yield target, value

