"""Evaluate an expression of a loader script over known values. No ``eval``: a closed set of nodes and functions."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from auditor.intake.unpack.bounded import Undecodable
from auditor.intake.unpack.pure import CONSTANTS, MAX_BYTES, path_part, text_of
from auditor.intake.unpack.values import Bound, Func, Module, Opaque, Ref, VPath, size

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.BitXor: operator.xor, ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.RShift: operator.rshift,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}
_BUILTINS = frozenset({
    "exec", "eval", "compile", "open", "len", "ord", "chr", "int", "bool", "abs", "min", "max", "sum", "list", "tuple",
    "dict", "set", "sorted", "range", "str", "bytes", "bytearray", "zip", "any", "all", "enumerate", "reversed", "map",
    "filter", "getattr", "setattr", "globals", "locals", "vars", "__import__", "print", "memoryview", "float",
})

_ERRORS = (
    TypeError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
    LookupError,
)


class Expressions:
    """The expression half of the machine; ``call`` is supplied by the half that knows effects."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def call(self, function: Any, args: list[Any], options: dict[str, Any], node: ast.Call) -> Any:
        """Apply a function value; overridden."""
        raise NotImplementedError

    def value(self, node: ast.expr | None, scope: dict[str, Any]) -> Any:
        """The value of ``node``; ``Opaque`` with a reason whenever it is not known."""
        self.steps -= 1
        if self.steps < 0:
            return Opaque("too long a computation to follow")
        if node is None:
            return None
        handler = getattr(self, f"_{type(node).__name__.lower()}", None)
        if handler is None:
            return Opaque(f"a {type(node).__name__} expression at line {node.lineno}")
        try:
            result = handler(node, scope)
        except Undecodable as error:
            said = str(error)
            return Opaque(said if said.endswith(")") and "(line " in said else f"{said} (line {node.lineno})")
        except _ERRORS as error:
            return Opaque(f"{type(error).__name__} at line {getattr(node, 'lineno', 0)}: {str(error)[:120]}")
        return result if size(result) <= 2 * MAX_BYTES else Opaque("a value that is too long")

    def known(self, node: ast.expr | None, scope: dict[str, Any]) -> Any:
        """As ``value``, but an opaque one is raised as ``Undecodable``."""
        result = self.value(node, scope)
        if isinstance(result, Opaque):
            raise Undecodable(result.reason)
        return result

    def _constant(self, node: ast.Constant, scope: dict[str, Any]) -> Any:
        return node.value

    def _name(self, node: ast.Name, scope: dict[str, Any]) -> Any:
        if node.id in scope:
            return scope[node.id]
        return Ref(node.id) if node.id in _BUILTINS else Opaque(f"the name {node.id!r} at line {node.lineno}")

    def _attribute(self, node: ast.Attribute, scope: dict[str, Any]) -> Any:
        return self.attribute(self.value(node.value, scope), node.attr)

    def attribute(self, owner: Any, name: str) -> Any:
        """``owner.name`` for the kinds of values that the machine has."""
        if isinstance(owner, Opaque):
            return owner
        if isinstance(owner, Ref):
            dotted = f"{owner.name}.{name}"
            return CONSTANTS.get(dotted, Ref(dotted))
        if isinstance(owner, Module):
            return owner if name == "__dict__" else Bound(owner, name)
        if isinstance(owner, VPath):
            part = path_part(owner, name)
            return Bound(owner, name) if part is None else part
        return Bound(owner, name)

    def _call(self, node: ast.Call, scope: dict[str, Any]) -> Any:
        function = self.value(node.func, scope)
        args: list[Any] = []
        for arg in node.args:
            if isinstance(arg, ast.Starred):
                args.extend(self.known(arg.value, scope))
            else:
                args.append(self.value(arg, scope))
        options: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                options.update(self.known(keyword.value, scope))
            else:
                options[keyword.arg] = self.value(keyword.value, scope)
        return self.call(function, args, options, node)

    def _binop(self, node: ast.BinOp, scope: dict[str, Any]) -> Any:
        left, right = self._operands(node, scope)
        kind = type(node.op)
        if kind is ast.Div and isinstance(left, VPath):
            return VPath(
                f"{left.text.rstrip('/')}/{text_of(right)}" if not text_of(right).startswith("/") else text_of(right)
            )
        if kind is ast.Mod and not isinstance(left, int):
            raise Undecodable("text formatting with %")
        if kind in (ast.Mult, ast.LShift, ast.Pow):
            return _bounded_product(kind, left, right)
        if kind not in _BINARY:
            raise Undecodable(f"operator {kind.__name__}")
        return _BINARY[kind](left, right)

    def _operands(self, node: ast.BinOp, scope: dict[str, Any]) -> tuple[Any, Any]:
        """Both sides; a long chain of ``+`` is folded from the left without deep recursion."""
        chain: list[ast.BinOp] = []
        inner: ast.expr = node.left
        while isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add) and isinstance(node.op, ast.Add):
            chain.append(inner)
            inner = inner.left
        left = self.known(inner, scope)
        for link in reversed(chain):
            left = left + self.known(link.right, scope)
            if size(left) > MAX_BYTES:
                raise Undecodable("a sum that is too long")
        return left, self.known(node.right, scope)

    def _unaryop(self, node: ast.UnaryOp, scope: dict[str, Any]) -> Any:
        operand = self.known(node.operand, scope)
        functions: dict[type[ast.unaryop], Callable[[Any], Any]] = {
            ast.USub: operator.neg, ast.Not: operator.not_, ast.Invert: operator.invert, ast.UAdd: operator.pos,
        }
        return functions[type(node.op)](operand)

    def _boolop(self, node: ast.BoolOp, scope: dict[str, Any]) -> Any:
        result: Any = None
        for part in node.values:
            result = self.known(part, scope)
            if bool(result) is isinstance(node.op, ast.Or):
                return result
        return result

    def _compare(self, node: ast.Compare, scope: dict[str, Any]) -> Any:
        left = self.known(node.left, scope)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.known(right_node, scope)
            if not _COMPARE[type(op)](left, right):
                return False
            left = right
        return True

    def _lambda(self, node: ast.Lambda, scope: dict[str, Any]) -> Any:
        return Func(node, scope)

    def _ifexp(self, node: ast.IfExp, scope: dict[str, Any]) -> Any:
        return self.value(node.body if self.known(node.test, scope) else node.orelse, scope)

    def _list(self, node: ast.List, scope: dict[str, Any]) -> Any:
        return [self.value(item, scope) for item in node.elts]

    def _tuple(self, node: ast.Tuple, scope: dict[str, Any]) -> Any:
        return tuple(self.value(item, scope) for item in node.elts)

    def _set(self, node: ast.Set, scope: dict[str, Any]) -> Any:
        return {self.known(item, scope) for item in node.elts}

    def _dict(self, node: ast.Dict, scope: dict[str, Any]) -> Any:
        result: dict[Any, Any] = {}
        for key, item in zip(node.keys, node.values, strict=True):
            if key is None:
                result.update(self.known(item, scope))
            else:
                result[self.known(key, scope)] = self.value(item, scope)
        return result

    def _subscript(self, node: ast.Subscript, scope: dict[str, Any]) -> Any:
        owner = self.known(node.value, scope)
        if isinstance(owner, Ref) and owner.name == "os.environ":
            return self.call(Ref("os.environ.get"), [self.value(node.slice, scope)], {}, ast.Call(node, [], []))
        return owner[self.known(node.slice, scope)]

    def _slice(self, node: ast.Slice, scope: dict[str, Any]) -> Any:
        return slice(*(self.known(part, scope) for part in (node.lower, node.upper, node.step)))

    def _joinedstr(self, node: ast.JoinedStr, scope: dict[str, Any]) -> Any:
        return "".join(str(self.known(part, scope)) for part in node.values)

    def _formattedvalue(self, node: ast.FormattedValue, scope: dict[str, Any]) -> Any:
        if node.format_spec is not None or node.conversion not in (-1, 115):
            raise Undecodable("a formatted value")
        value = self.known(node.value, scope)
        return value.text if isinstance(value, VPath) else value

    def _namedexpr(self, node: ast.NamedExpr, scope: dict[str, Any]) -> Any:
        scope[node.target.id] = self.value(node.value, scope)
        return scope[node.target.id]

    def _listcomp(self, node: ast.ListComp, scope: dict[str, Any]) -> Any:
        return self._comprehend([node.elt], node.generators, scope)

    def _generatorexp(self, node: ast.GeneratorExp, scope: dict[str, Any]) -> Any:
        return self._comprehend([node.elt], node.generators, scope)

    def _dictcomp(self, node: ast.DictComp, scope: dict[str, Any]) -> Any:
        return dict(self._comprehend([node.key, node.value], node.generators, scope))

    def _comprehend(
        self, made: list[ast.expr], generators: list[ast.comprehension], scope: dict[str, Any]
    ) -> list[Any]:
        inner, out = dict(scope), []
        first, rest = generators[0], generators[1:]
        for item in self.known(first.iter, inner):
            self.bind(first.target, item, inner)
            if not all(self.known(test, inner) for test in first.ifs):
                continue
            if rest:
                out.extend(self._comprehend(made, rest, inner))
            else:
                values = [self.known(part, inner) for part in made]
                out.append(values[0] if len(values) == 1 else tuple(values))
        return out

    def bind(self, target: ast.expr, item: Any, scope: dict[str, Any]) -> None:
        """Assign ``item`` to a name or to a tuple of names; other targets are ignored."""
        if isinstance(target, ast.Name):
            scope[target.id] = item
        elif isinstance(target, (ast.Tuple, ast.List)):
            parts = (
                list(item)
                if isinstance(item, (list, tuple, str, bytes))
                else [Opaque("a part of a value")] * len(target.elts)
            )
            for part, inner in zip(target.elts, parts, strict=False):
                self.bind(part, inner, scope)


def _bounded_product(kind: type[ast.operator], left: Any, right: Any) -> Any:
    """``*``, ``<<`` and ``**`` with a bound on the result."""
    if kind is ast.Mult:
        count = right if isinstance(right, int) else left
        body = left if isinstance(right, int) else right
        if isinstance(count, int) and size(body) * max(abs(count), 1) <= MAX_BYTES and count.bit_length() < 4096:
            return left * right
    elif isinstance(left, int) and isinstance(right, int) and 0 <= right <= 4096 and left.bit_length() <= 4096:
        return (
            left << right
            if kind is ast.LShift
            else left**right
            if left.bit_length() * right <= 65_536
            else Opaque("a large power")
        )
    raise Undecodable("a product that is too large")
