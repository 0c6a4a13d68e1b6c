"""Walk a loader script statement by statement: what would it write, set in the environment, and run in the end?

The machine has its own file system (the submission's files plus what the script itself writes) and an environment.
Nothing real is touched. Conditions that are not known are walked on both sides, loops over unknown values once.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from auditor.intake.unpack.bounded import Undecodable
from auditor.intake.unpack.calls import Calls
from auditor.intake.unpack.values import Func, Opaque, Ref, VFile, VPath

MAX_INLINE = 40
"""Statements of the largest function that is followed into."""
MAX_CALLS = 8


@dataclass
class Run:
    """Something that the script executes. Exactly one of ``text`` (exec) and ``path`` (a file) is set."""

    line: int
    text: str | None = None
    path: str | None = None
    module: str | None = None
    """Name of the module into whose namespace it goes; None for the script's own."""
    problem: str | None = None
    layers: tuple[str, ...] = ()


@dataclass
class Effects:
    """All that a loader does, in order."""

    runs: list[Run] = field(default_factory=list)
    env: list[tuple[str, str, int, bool]] = field(default_factory=list)
    """(name, value, line, only if unset)."""
    layers: list[str] = field(default_factory=list)


class Return(Exception):
    """Carries a followed function's value."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class Machine(Calls):
    """One script's walk; ``files`` maps absolute paths of the machine's file system to contents written there."""

    def __init__(
        self, path: str, files: dict[str, bytes], beside: Callable[[str], bytes | None], steps: int, limit: int
    ) -> None:
        super().__init__(path, files, beside, steps, limit)
        self._depth = 0

    def walk(self, body: list[ast.stmt], scope: dict[str, Any]) -> None:
        """Walk statements; ``scope`` is changed."""
        for statement in body:
            handler = getattr(self, f"_do_{type(statement).__name__.lower()}", None)
            if handler is not None and self.steps > 0:
                try:
                    handler(statement, scope)
                except Undecodable:
                    continue

    def follow(self, function: Func, args: list[Any], options: dict[str, Any]) -> Any:
        """The value of a call of a lambda or a small function of the script."""
        node, spec = function.node, function.node.args
        scope = dict(function.scope) if isinstance(node, ast.Lambda) else {**function.scope}
        names = [a.arg for a in (*spec.posonlyargs, *spec.args)]
        for name, default in zip(reversed(names), reversed(spec.defaults), strict=False):
            scope[name] = self.value(default, function.scope)
        scope.update({n: Opaque(f"argument {n}") for n in names if n not in scope})
        scope.update(zip(names, args, strict=False))
        scope.update(options)
        if isinstance(node, ast.Lambda):
            return self.value(node.body, scope)
        if self._depth >= MAX_CALLS or sum(isinstance(n, ast.stmt) for n in ast.walk(node)) > MAX_INLINE:
            return Opaque(f"the function {node.name}, which is not followed")
        self._depth += 1
        try:
            self.walk(node.body, scope)
        except Return as result:
            return result.value
        finally:
            self._depth -= 1
        return None

    def _do_expr(self, node: ast.Expr, scope: dict[str, Any]) -> None:
        self.value(node.value, scope)

    def _do_assign(self, node: ast.Assign, scope: dict[str, Any]) -> None:
        value = self.value(node.value, scope)
        for target in node.targets:
            self._store(target, value, scope)

    def _do_annassign(self, node: ast.AnnAssign, scope: dict[str, Any]) -> None:
        if node.value is not None:
            self._store(node.target, self.value(node.value, scope), scope)

    def _do_augassign(self, node: ast.AugAssign, scope: dict[str, Any]) -> None:
        if isinstance(node.target, ast.Name):
            made = ast.copy_location(ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value), node)
            ast.fix_missing_locations(made)
            scope[node.target.id] = self.value(made, scope)

    def _store(self, target: ast.expr, value: Any, scope: dict[str, Any]) -> None:
        if not isinstance(target, ast.Subscript):
            self.bind(target, value, scope)
            return
        owner, key = self.value(target.value, scope), self.value(target.slice, scope)
        if owner == Ref("os.environ"):
            self.set_env(key, value, target.lineno, only_if_unset=False)
        elif isinstance(owner, (dict, list)) and not isinstance(key, (Opaque, slice)):
            try:
                owner[key] = value
            except (TypeError, IndexError):
                return

    def _do_import(self, node: ast.Import, scope: dict[str, Any]) -> None:
        for alias in node.names:
            scope[alias.asname or alias.name.split(".")[0]] = Ref(
                alias.name if alias.asname else alias.name.split(".")[0]
            )

    def _do_importfrom(self, node: ast.ImportFrom, scope: dict[str, Any]) -> None:
        for alias in node.names:
            if alias.name != "*":
                scope[alias.asname or alias.name] = Ref(f"{node.module}.{alias.name}" if node.module else alias.name)

    def _do_functiondef(self, node: ast.FunctionDef, scope: dict[str, Any]) -> None:
        scope[node.name] = Func(node, scope)

    def _do_classdef(self, node: ast.ClassDef, scope: dict[str, Any]) -> None:
        scope[node.name] = Opaque(f"the class {node.name}")

    def _do_return(self, node: ast.Return, scope: dict[str, Any]) -> None:
        raise Return(self.value(node.value, scope))

    def _do_if(self, node: ast.If, scope: dict[str, Any]) -> None:
        test = self.value(node.test, scope)
        if isinstance(test, Opaque):
            self.walk(node.body, scope)
            self.walk(node.orelse, scope)
        else:
            self.walk(node.body if test else node.orelse, scope)

    def _do_for(self, node: ast.For, scope: dict[str, Any]) -> None:
        items = self.value(node.iter, scope)
        if not isinstance(items, (list, tuple, dict, set, str, bytes)):
            self.bind(node.target, Opaque("an item of an unknown list"), scope)
            self.walk(node.body, scope)
            return
        for item in list(items):
            if self.steps <= 0:
                return
            self.bind(node.target, item, scope)
            self.walk(node.body, scope)

    def _do_while(self, node: ast.While, scope: dict[str, Any]) -> None:
        self.walk(node.body, scope)

    def _do_try(self, node: ast.Try, scope: dict[str, Any]) -> None:
        self.walk(node.body, scope)
        self.walk(node.orelse, scope)
        self.walk(node.finalbody, scope)

    def _do_with(self, node: ast.With, scope: dict[str, Any]) -> None:
        opened: list[VFile] = []
        for item in node.items:
            value = self.value(item.context_expr, scope)
            if isinstance(value, VFile):
                opened.append(value)
            if item.optional_vars is not None:
                self.bind(item.optional_vars, value, scope)
        self.walk(node.body, scope)
        for file in opened:
            self.close(file)


def script_scope(path: str) -> dict[str, Any]:
    """The names that a script finds when it is started."""
    return {
        "__file__": path,
        "__name__": "__main__",
        "__doc__": None,
        "__builtins__": Ref("builtins"),
        "Path": VPathType,
    }


VPathType = Ref("pathlib.Path")
__all__ = ["Effects", "Machine", "Return", "Run", "VPath", "script_scope"]
