"""The worth of a default: literals, arithmetic of literals, names bound once, and reads of the environment."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from auditor.intake.knobs import env_read

MAX_DEPTH = 30
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.LShift: lambda a, b: a << b if 0 <= b <= 64 else None,
    ast.Pow: lambda a, b: a**b if abs(b) <= 64 and abs(a) <= 1024 else None,
}


@dataclass
class Scope:
    """What names are bound to (None: more than once) and what the launch set."""

    names: dict[str, ast.expr | None] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    readers: frozenset[str] = frozenset()
    """Names of functions that read the environment."""
    config: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    """What the JSON files beside the script say, by key."""


def worth(node: ast.expr | None, scope: Scope, depth: int = 0) -> int | float | str | bool | None:
    """What ``node`` evaluates to; None when that cannot be told (or when it is None)."""
    if node is None or depth > MAX_DEPTH:
        return None
    match node:
        case ast.Constant(value=bool() | int() | float() | str()):
            return node.value  # type: ignore[return-value]
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return worth(scope.names.get(name), scope, depth + 1)
        case ast.UnaryOp(op=ast.USub()):
            inner = worth(node.operand, scope, depth + 1)
            return -inner if isinstance(inner, (int, float)) else None
        case ast.BinOp():
            return _binary(node, scope, depth)
        case ast.IfExp():
            test = truth(node.test, scope, depth)
            return None if test is None else worth(node.body if test else node.orelse, scope, depth + 1)
        case ast.BoolOp(op=ast.Or()):
            first = worth(node.values[0], scope, depth + 1)
            return first if first else worth(node.values[1], scope, depth + 1) if first is not None else None
        case ast.JoinedStr():
            return _joined(node, scope, depth)
        case ast.Call() | ast.Subscript():
            return _call(node, scope, depth)
    return None


def _binary(node: ast.BinOp, scope: Scope, depth: int) -> int | float | str | None:
    left, right = worth(node.left, scope, depth + 1), worth(node.right, scope, depth + 1)
    apply = _OPERATORS.get(type(node.op))
    if left is None or right is None or apply is None:
        return None
    if isinstance(left, str) != isinstance(right, str):
        return None
    try:
        value = apply(left, right)
    except (ArithmeticError, TypeError, ValueError):
        return None
    return value if isinstance(value, (int, float, str)) else None


def truth(node: ast.expr, scope: Scope, depth: int = 0) -> bool | None:
    """Whether ``node`` holds; None when that cannot be told."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
        left, right = worth(node.left, scope, depth + 1), worth(node.comparators[0], scope, depth + 1)
        if left is None or right is None:
            return None
        return (left == right) is isinstance(node.ops[0], ast.Eq)
    value = worth(node, scope, depth + 1)
    return None if value is None else bool(value)


def _joined(node: ast.JoinedStr, scope: Scope, depth: int) -> str | None:
    parts: list[str] = []
    for part in node.values:
        inner = part.value if isinstance(part, ast.FormattedValue) else part
        value = worth(inner, scope, depth + 1)
        if value is None or (isinstance(part, ast.FormattedValue) and part.format_spec is not None):
            return None
        parts.append(str(value))
    return "".join(parts)


def _call(node: ast.Call | ast.Subscript, scope: Scope, depth: int) -> int | float | str | bool | None:
    name = env_read(node, scope.readers)
    if name is not None:
        if name in scope.env:
            return scope.env[name]
        return worth(node.args[1], scope, depth + 1) if isinstance(node, ast.Call) and len(node.args) > 1 else None
    looked = _looked_up(node, scope, depth)
    if looked is not None:
        return looked
    if not isinstance(node, ast.Call) or node.keywords:
        return None
    function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if function in ("lower", "strip", "upper") and isinstance(node.func, ast.Attribute) and not node.args:
        text = worth(node.func.value, scope, depth + 1)
        if not isinstance(text, str):
            return None
        return text.lower() if function == "lower" else text.upper() if function == "upper" else text.strip()
    if function in ("int", "float", "str", "Path") and len(node.args) == 1:
        return convert(function, worth(node.args[0], scope, depth + 1))
    if function == "join" and isinstance(node.func, ast.Attribute) and getattr(node.func.value, "attr", "") == "path":
        parts = [worth(a, scope, depth + 1) for a in node.args]
        return "/".join(str(p).rstrip("/") for p in parts) if all(isinstance(p, str) for p in parts) else None
    if function in ("max", "min") and len(node.args) >= 2:
        values = [worth(a, scope, depth + 1) for a in node.args]
        numbers = [v for v in values if isinstance(v, (int, float))]
        if len(numbers) == len(values):
            return max(numbers) if function == "max" else min(numbers)
    return None


def _looked_up(node: ast.Call | ast.Subscript, scope: Scope, depth: int) -> int | float | str | bool | None:
    """``settings["key"]`` and ``settings.get("key", default)`` as a configuration file says, else the default."""
    if isinstance(node, ast.Subscript):
        return scope.config.get(str(node.slice.value)) if isinstance(node.slice, ast.Constant) else None
    if not (isinstance(node.func, ast.Attribute) and node.func.attr == "get" and 1 <= len(node.args) <= 2):
        return None
    key = node.args[0]
    if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
        return None
    default = worth(node.args[1], scope, depth + 1) if len(node.args) > 1 else None
    return scope.config.get(key.value, default)


def convert(kind: str, value: int | float | str | bool | None) -> int | float | str | None:
    """``value`` as ``int``, ``float`` or text; None when it is not one."""
    if value is None:
        return None
    try:
        if kind == "int":
            return int(value)
        if kind == "float":
            return float(value)
    except (ValueError, OverflowError):
        return None
    return str(value)
