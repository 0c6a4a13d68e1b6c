"""Work out what a byte-table builder does, by walking its syntax tree over a toy vocabulary of ten tokens.

A table builder loops over token ids, asks the tokenizer about each and writes a number. Whether it counts the leading
space, the name of a byte token or characters instead of bytes is a question of values, not of spelling, so the values
are computed. Nothing of the submission is executed: this walks its syntax tree and knows only arithmetic, comparisons,
a few string methods and the tokenizer's questions. Everything else is `OPAQUE`, which no comparison can decide: then
the names that the undecided code would have written become opaque as well. Steps are bounded.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from auditor.source.metric import toysignals
from auditor.source.metric.toyvalues import (
    MAX_TEXT,
    OPAQUE,
    TEXT_METHODS,
    Opaque,
    Table,
    array_call,
    as_table,
    builtin,
    items_of,
    text_method,
    tokenizer_answer,
)

_MAX_STEPS = 30_000
_MAX_DEPTH = 5
_PASS_METHODS = frozenset(str.split(
    "to cuda cpu numpy astype copy clone contiguous long int float bool double detach tolist item type view "
    "reshape flatten ravel"
))
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.Div: operator.truediv,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}


@dataclass
class Outcome:
    """What a walk left behind: the names with their values, and what was returned (`OPAQUE`: nothing known)."""

    names: dict[str, Any] = field(default_factory=dict)
    returned: Any = OPAQUE
    complete: bool = True


class Walker:
    """Walks statements with concrete values where they are known. One instance per builder."""

    def __init__(self, functions: dict[str, ast.FunctionDef], constants: dict[str, Any]) -> None:
        self._functions = functions
        self._constants = constants
        self._steps = 0
        self._depth = 0

    def run(self, body: list[ast.stmt], names: dict[str, Any] | None = None) -> Outcome:
        """Walk ``body`` from the given names. Never raises on any tree; a spent budget gives ``complete`` False."""
        outcome = Outcome(dict(names or {}))
        try:
            self._block(body, outcome.names)
        except toysignals.Return as signal:
            outcome.returned = signal.value
        except (toysignals.Budget, RecursionError):
            outcome.complete = False
        except toysignals.Signal:
            pass
        return outcome

    # -- statements

    def _block(self, body: Iterable[ast.stmt], env: dict[str, Any]) -> None:
        for statement in body:
            self._step()
            self._statement(statement, env)

    def _statement(self, node: ast.stmt, env: dict[str, Any]) -> None:
        match node:
            case ast.Assign():
                value = self._value(node.value, env)
                for target in node.targets:
                    self._store(target, value, env)
            case ast.AnnAssign():
                if node.value is not None:
                    self._store(node.target, self._value(node.value, env), env)
            case ast.AugAssign():
                value = self._binary(node.op, self._value(node.target, env), self._value(node.value, env))
                self._store(node.target, value, env)
            case ast.If():
                self._if(node, env)
            case ast.For():
                self._for(node, env)
            case ast.Return():
                raise toysignals.Return(self._value(node.value, env) if node.value else None)
            case ast.Continue():
                raise toysignals.Continue
            case ast.Break():
                raise toysignals.Break
            case ast.Expr():
                self._value(node.value, env)
            case ast.With() | ast.Try():
                self._block(node.body, env)
            case ast.While():
                self._forget(node, env)
            case ast.FunctionDef():
                self._functions.setdefault(node.name, node)
            case ast.Raise():
                raise toysignals.Return(OPAQUE)
            case _:
                pass

    def _if(self, node: ast.If, env: dict[str, Any]) -> None:
        test = self._truth(self._value(node.test, env))
        if test is None:
            self._forget(node, env)
        else:
            self._block(node.body if test else node.orelse, env)

    def _for(self, node: ast.For, env: dict[str, Any]) -> None:
        items = items_of(self._value(node.iter, env))
        if items is None:
            self._forget(node, env)
            return
        for item in items:
            self._store(node.target, item, env)
            try:
                self._block(node.body, env)
            except toysignals.Continue:
                continue
            except toysignals.Break:
                break

    def _forget(self, node: ast.stmt, env: dict[str, Any]) -> None:
        """Undecided code: whatever it could write is not known any more."""
        for child in ast.walk(node):
            self._step()
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                env[child.id] = OPAQUE
            elif isinstance(child, ast.Subscript) and isinstance(child.ctx, ast.Store):
                name = _key(child.value)
                if name:
                    env[name] = OPAQUE

    def _store(self, target: ast.expr, value: Any, env: dict[str, Any]) -> None:
        match target:
            case ast.Name():
                env[target.id] = value
            case ast.Attribute():
                env["." + target.attr] = value
            case ast.Subscript():
                self._store_cell(target, value, env)
            case ast.Tuple() | ast.List():
                parts = value if isinstance(value, tuple | list) else ()
                for index, part in enumerate(target.elts):
                    self._store(part, parts[index] if len(parts) == len(target.elts) else OPAQUE, env)
            case _:
                pass

    def _store_cell(self, target: ast.Subscript, value: Any, env: dict[str, Any]) -> None:
        index = self._value(target.slice, env)
        name = _key(target.value)
        table = env.get(name, OPAQUE) if name else self._value(target.value, env)
        if isinstance(table, Opaque) and name and isinstance(index, int):
            table = env[name] = Table(OPAQUE)
        if isinstance(table, Table):
            if isinstance(index, int):
                table.cells[index] = value
            elif not isinstance(index, slice):
                table.default = OPAQUE
                table.cells = {}
        elif isinstance(table, dict) and isinstance(index, int | str):
            table[index] = value

    # -- expressions

    def _value(self, node: ast.expr, env: dict[str, Any]) -> Any:
        self._step()
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return env.get(node.id, self._constants.get(node.id, OPAQUE))
            case ast.Attribute():
                return env.get("." + node.attr, OPAQUE)
            case ast.Tuple():
                return tuple(self._value(e, env) for e in node.elts)
            case ast.List():
                return as_table([self._value(e, env) for e in node.elts])
            case ast.Dict():
                return {}
            case ast.Subscript():
                return self._subscript(node, env)
            case ast.BinOp():
                return self._binary(node.op, self._value(node.left, env), self._value(node.right, env))
            case ast.BoolOp():
                return self._bool(node, env)
            case ast.UnaryOp():
                return self._unary(node, env)
            case ast.Compare():
                return self._compare(node, env)
            case ast.IfExp():
                test = self._truth(self._value(node.test, env))
                return OPAQUE if test is None else self._value(node.body if test else node.orelse, env)
            case ast.ListComp() | ast.GeneratorExp():
                return self._comprehension(node, env)
            case ast.Call():
                return self._call(node, env)
            case ast.NamedExpr():
                value = self._value(node.value, env)
                self._store(node.target, value, env)
                return value
            case _:
                return OPAQUE

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp, env: dict[str, Any]) -> Any:
        if len(node.generators) != 1:
            return OPAQUE
        generator = node.generators[0]
        items = items_of(self._value(generator.iter, env))
        if items is None:
            return OPAQUE
        scope, values = dict(env), []
        for item in items:
            self._store(generator.target, item, scope)
            tests = [self._truth(self._value(test, scope)) for test in generator.ifs]
            if None in tests:
                return OPAQUE
            if all(tests):
                values.append(self._value(node.elt, scope))
        return as_table(values)

    def _subscript(self, node: ast.Subscript, env: dict[str, Any]) -> Any:
        base = self._value(node.value, env)
        if isinstance(node.slice, ast.Slice):
            parts = (node.slice.lower, node.slice.upper, node.slice.step)
            bounds = [self._value(part, env) if part else None for part in parts]
            known = all(b is None or isinstance(b, int) for b in bounds)
            if isinstance(base, Table):
                return base
            return base[slice(*bounds)] if known and isinstance(base, str | bytes | tuple) else OPAQUE
        index = self._value(node.slice, env)
        if isinstance(base, Table):
            return base.get(index) if isinstance(index, int) else OPAQUE
        if isinstance(base, dict):
            return base.get(index, OPAQUE) if isinstance(index, int | str) else OPAQUE
        if isinstance(base, str | bytes | tuple) and isinstance(index, int) and -len(base) <= index < len(base):
            return base[index]
        return OPAQUE

    def _binary(self, op: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(op, ast.Mult) and (isinstance(left, Table) or isinstance(right, Table)):
            table = left if isinstance(left, Table) else right
            return Table(table.get(0), {}) if isinstance(table, Table) else OPAQUE
        function = _BINARY.get(type(op))
        plain = (int, float, str, bytes, tuple)
        if function is None or not isinstance(left, plain) or not isinstance(right, plain):
            return OPAQUE
        if not isinstance(op, ast.Add) and not all(isinstance(v, int | float) for v in (left, right)):
            return OPAQUE
        try:
            value = function(left, right)
        except (TypeError, ZeroDivisionError, ValueError, OverflowError):
            return OPAQUE
        if isinstance(value, int) and value.bit_length() > 64:
            return OPAQUE
        return OPAQUE if isinstance(value, str | bytes | tuple) and len(value) > MAX_TEXT else value

    def _bool(self, node: ast.BoolOp, env: dict[str, Any]) -> Any:
        stop = isinstance(node.op, ast.Or)
        unknown = False
        value: Any = OPAQUE
        for part in node.values:
            value = self._value(part, env)
            truth = self._truth(value)
            if truth is None:
                unknown = True
            elif truth is stop:
                return value
        return OPAQUE if unknown else value

    def _unary(self, node: ast.UnaryOp, env: dict[str, Any]) -> Any:
        value = self._value(node.operand, env)
        if isinstance(node.op, ast.Not):
            truth = self._truth(value)
            return OPAQUE if truth is None else not truth
        if isinstance(node.op, ast.USub) and isinstance(value, int | float):
            return -value
        return OPAQUE

    def _compare(self, node: ast.Compare, env: dict[str, Any]) -> Any:
        left = self._value(node.left, env)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self._value(right_node, env)
            if isinstance(left, Opaque | Table) or isinstance(right, Opaque | Table):
                return OPAQUE
            try:
                if not _COMPARE[type(op)](left, right):
                    return False
            except TypeError:
                return OPAQUE
            left = right
        return True

    # -- calls

    def _call(self, node: ast.Call, env: dict[str, Any]) -> Any:
        if isinstance(node.func, ast.Attribute):
            return self._method(node, node.func, env)
        if not isinstance(node.func, ast.Name):
            return OPAQUE
        args = [self._value(arg, env) for arg in node.args if not isinstance(arg, ast.Starred)]
        name = node.func.id
        if name in self._functions:
            return self._function(self._functions[name], args, node, env)
        return builtin(name, args)

    def _function(self, function: ast.FunctionDef, args: list[Any], node: ast.Call, env: dict[str, Any]) -> Any:
        if self._depth >= _MAX_DEPTH:
            return OPAQUE
        names = [a.arg for a in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]]
        scope: dict[str, Any] = dict(zip(names, args, strict=False))
        scope |= {k.arg: self._value(k.value, env) for k in node.keywords if k.arg}
        self._depth += 1
        try:
            self._block(function.body, scope)
        except toysignals.Return as signal:
            return signal.value
        except (toysignals.Continue, toysignals.Break):
            return OPAQUE
        finally:
            self._depth -= 1
        return None

    def _method(self, node: ast.Call, func: ast.Attribute, env: dict[str, Any]) -> Any:
        args = [self._value(arg, env) for arg in node.args if not isinstance(arg, ast.Starred)]
        answer = tokenizer_answer(func.attr, args)
        if answer is not None:
            return answer
        base = self._value(func.value, env)
        if isinstance(base, str | bytes) and func.attr in TEXT_METHODS:
            return text_method(base, func.attr, args)
        if isinstance(base, Table):
            return self._table_method(base, func.attr, args)
        if isinstance(base, Opaque):
            return array_call(func.attr, args)
        return base if func.attr in _PASS_METHODS else OPAQUE

    @staticmethod
    def _table_method(table: Table, name: str, args: list[Any]) -> Any:
        if name == "append" and len(args) == 1:
            table.cells[len(table.cells)] = args[0]
            return None
        return table if name in _PASS_METHODS else OPAQUE

    @staticmethod
    def _truth(value: Any) -> bool | None:
        return None if isinstance(value, Opaque | Table) else bool(value)

    def _step(self) -> None:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise toysignals.Budget


def _key(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    return "." + node.attr if isinstance(node, ast.Attribute) else None
