"""What a setting is worth in the claimed run: constants, environment defaults, launch settings, arguments.

Flow-insensitive: a name is worth what the one expression says that is ever bound to it. Two different worths make it
unknown. The log's own dump wins over the environment of the launch, which wins over the script's default.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from auditor.core.submission import Launch
from auditor.source.metric.codeindex import Function, Index

_MAX_DEPTH = 40


@dataclass(frozen=True, slots=True)
class Worth:
    """A value with the sentence that says where it comes from. ``known`` False: ``value`` means nothing."""

    value: Any
    known: bool
    why: str = ""
    setting: str = ""
    """The environment variable, when one decides."""


NOT_KNOWN = Worth(None, False)


class Settings:
    """Answers `worth` for expressions of an index under a launch."""

    def __init__(self, index: Index, launch: Launch) -> None:
        self._index = index
        self._launch = launch
        self._attributes: dict[str, list[tuple[ast.expr, Function]]] | None = None
        self._names: dict[tuple[Function, str], list[ast.expr]] = {}
        self._calls: dict[str, list[tuple[ast.Call, Function]]] = {}
        self._memo: dict[int, Worth] = {}

    def worth(self, node: ast.expr, function: Function, depth: int = 0) -> Worth:
        """What ``node`` evaluates to inside ``function``; `NOT_KNOWN` when that cannot be told."""
        if depth > _MAX_DEPTH:
            return NOT_KNOWN
        known = self._memo.get(id(node))
        if known is None:
            self._memo[id(node)] = NOT_KNOWN  # while in progress: a cycle is not known
            known = self._memo[id(node)] = self._worth(node, function, depth + 1)
        return known

    def _worth(self, node: ast.expr, function: Function, depth: int) -> Worth:
        match node:
            case ast.Constant():
                return Worth(node.value, True, f"{function.file}:{node.lineno}")
            case ast.Name():
                return self._name(node.id, function, depth)
            case ast.Attribute():
                return self._attribute(node.attr, depth)
            case ast.Call():
                return self._call(node, function, depth)
            case ast.UnaryOp():
                inner = self.worth(node.operand, function, depth)
                return self._unary(node.op, inner)
            case ast.BoolOp():
                return self._bool(node, function, depth)
            case ast.Compare() if len(node.ops) == 1:
                return self._compare(node, function, depth)
            case ast.IfExp():
                test = self.worth(node.test, function, depth)
                chosen = node.body if test.value else node.orelse
                return self.worth(chosen, function, depth) if test.known else NOT_KNOWN
            case _:
                return NOT_KNOWN

    @staticmethod
    def _unary(op: ast.unaryop, inner: Worth) -> Worth:
        if not inner.known:
            return NOT_KNOWN
        if isinstance(op, ast.Not):
            return Worth(not inner.value, True, inner.why, inner.setting)
        if isinstance(op, ast.USub) and isinstance(inner.value, int | float):
            return Worth(-inner.value, True, inner.why, inner.setting)
        return NOT_KNOWN

    def _bool(self, node: ast.BoolOp, function: Function, depth: int) -> Worth:
        stop = isinstance(node.op, ast.Or)
        parts = [self.worth(part, function, depth) for part in node.values]
        for part in parts:
            if part.known and bool(part.value) is stop:
                return part
        return parts[-1] if all(part.known for part in parts) else NOT_KNOWN

    def _compare(self, node: ast.Compare, function: Function, depth: int) -> Worth:
        left, right = self.worth(node.left, function, depth), self.worth(node.comparators[0], function, depth)
        if not left.known or not right.known:
            return NOT_KNOWN
        try:
            match node.ops[0]:
                case ast.Eq() | ast.Is():
                    value = left.value == right.value
                case ast.NotEq() | ast.IsNot():
                    value = left.value != right.value
                case ast.Gt():
                    value = left.value > right.value
                case ast.GtE():
                    value = left.value >= right.value
                case ast.Lt():
                    value = left.value < right.value
                case ast.LtE():
                    value = left.value <= right.value
                case ast.In():
                    value = left.value in right.value
                case _:
                    return NOT_KNOWN
        except TypeError:
            return NOT_KNOWN
        return Worth(bool(value), True, left.why, left.setting or right.setting)

    def _call(self, node: ast.Call, function: Function, depth: int) -> Worth:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in {"int", "float", "bool", "str"} and len(node.args) == 1:
            return _converted(name, self.worth(node.args[0], function, depth))
        if name in {"get", "getenv"} and node.args and _is_environment(node):
            return self._environment(node, function, depth)
        if name == "getattr" and len(node.args) >= 2 and isinstance(node.args[1], ast.Constant):
            found = self._attribute(str(node.args[1].value), depth)
            if not found.known and len(node.args) == 3 and str(node.args[1].value) not in (self._attributes or {}):
                return self.worth(node.args[2], function, depth)
            return found
        helpers = self._index.resolve(node.func)
        if (
            len(helpers) == 1
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and _reads_environment(helpers[0])
        ):
            return self._environment(node, function, depth)
        return NOT_KNOWN

    def _environment(self, node: ast.Call, function: Function, depth: int) -> Worth:
        key = self.worth(node.args[0], function, depth)
        if not key.known or not isinstance(key.value, str):
            return NOT_KNOWN
        setting = self._launch.env.get(key.value)
        if setting is not None:
            return Worth(
                setting.value, True, f"{key.value}={setting.value} ({setting.how}, {setting.origin})", key.value
            )
        if len(node.args) < 2:
            return Worth(None, True, f"{key.value} is not set", key.value)
        default = self.worth(node.args[1], function, depth)
        why = f"{key.value} defaults to {default.value!r} at {function.file}:{node.lineno}"
        return Worth(default.value, default.known, why, key.value)

    def _attribute(self, name: str, depth: int) -> Worth:
        logged = self._launch.logged.get(name)
        if logged is not None:
            return Worth(_literal(logged.value), True, f"{name}={logged.value} (log, {logged.origin})", name)
        self._collect()
        assert self._attributes is not None
        return self._agree([self.worth(e, f, depth) for e, f in self._attributes.get(name, [])[:6]])

    def _name(self, name: str, function: Function, depth: int) -> Worth:
        self._collect()
        scope: Function | None = function
        while scope is not None:
            bound = self._names.get((scope, name), [])
            if name in scope.params and not bound:
                return self._parameter(name, scope, depth)
            if bound:
                own = [self.worth(e, scope, depth) for e in bound[:6]]
                return self._agree(own)
            scope = scope.parent
        return NOT_KNOWN

    def _parameter(self, name: str, function: Function, depth: int) -> Worth:
        """What callers pass, else the default."""
        assert function.node is not None
        at = function.params.index(name)
        if function.class_name and function.params[:1] == ["self"]:
            at -= 1
        target = function.class_name if function.name == "__init__" and function.class_name else function.name
        found: list[Worth] = []
        for call, where in self._calls.get(target, [])[:8]:
            given = next((k.value for k in call.keywords if k.arg == name), None)
            if given is None and 0 <= at < len(call.args) and not any(isinstance(a, ast.Starred) for a in call.args):
                given = call.args[at]
            if given is None and any(k.arg is None for k in call.keywords):
                return NOT_KNOWN
            found.append(self.worth(given, where, depth) if given is not None else self._default(name, function, depth))
        return self._agree(found) if found else self._default(name, function, depth)

    def _default(self, name: str, function: Function, depth: int) -> Worth:
        assert function.node is not None
        args = function.node.args
        positional = [*args.posonlyargs, *args.args]
        pairs = list(zip(reversed(positional), reversed(args.defaults), strict=False))
        pairs += [(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d is not None]
        for arg, default in pairs:
            if arg.arg == name:
                return self.worth(default, function.parent or function, depth)
        return NOT_KNOWN

    @staticmethod
    def _agree(found: list[Worth]) -> Worth:
        if not found or not all(w.known for w in found):
            return NOT_KNOWN
        first = found[0]
        return first if all(w.value == first.value for w in found) else NOT_KNOWN

    def _collect(self) -> None:
        if self._attributes is not None:
            return
        self._attributes = {}
        for function in self._index.functions:
            for node in function.nodes:
                if isinstance(node, ast.Assign):
                    for target in node.targets:
                        self._bind(target, node.value, function)
                elif isinstance(node, ast.AnnAssign) and node.value is not None:
                    self._bind(node.target, node.value, function)
                elif isinstance(node, ast.AugAssign | ast.For | ast.comprehension):
                    self._bind(node.target, ast.Tuple([], ast.Load()), function)
                elif isinstance(node, ast.Call):
                    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                    if name:
                        self._calls.setdefault(name, []).append((node, function))
                elif isinstance(node, ast.ClassDef):
                    self._class_body(node, function)

    def _class_body(self, node: ast.ClassDef, function: Function) -> None:
        assert self._attributes is not None
        for statement in node.body:
            if isinstance(statement, ast.Assign):
                targets, value = statement.targets, statement.value
            elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                targets, value = [statement.target], statement.value
            else:
                continue
            for target in targets:
                if isinstance(target, ast.Name):
                    self._attributes.setdefault(target.id, []).append((value, function))

    def _bind(self, target: ast.expr, value: ast.expr, function: Function) -> None:
        assert self._attributes is not None
        if isinstance(target, ast.Name):
            self._names.setdefault((function, target.id), []).append(value)
        elif isinstance(target, ast.Attribute):
            self._attributes.setdefault(target.attr, []).append((value, function))
        elif isinstance(target, ast.Tuple | ast.List):
            parts = value.elts if isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts) else None
            for position, part in enumerate(target.elts):
                self._bind(part, parts[position] if parts else ast.Tuple([], ast.Load()), function)


def _is_environment(node: ast.Call) -> bool:
    func = node.func
    if isinstance(func, ast.Name):
        return func.id == "getenv"
    if not isinstance(func, ast.Attribute):
        return False
    base = func.value
    name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
    return func.attr == "getenv" or name in {"environ", "env", "E", "_env", "_E"}


def _reads_environment(function: Function) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr in {"environ", "getenv"} for n in function.nodes)


def _converted(kind: str, inner: Worth) -> Worth:
    if not inner.known:
        return NOT_KNOWN
    value = inner.value
    try:
        if kind == "bool":
            out: Any = bool(value)
        elif kind == "int":
            out = int(value)
        elif kind == "float":
            out = float(value)
        else:
            out = str(value)
    except (TypeError, ValueError, OverflowError):
        return NOT_KNOWN
    return Worth(out, True, inner.why, inner.setting)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text.strip()
