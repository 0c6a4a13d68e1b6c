"""The settings that a script knows: which environment variable feeds which attribute, and its names at large."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from auditor.core.syntax import parse_python

_WRAPPERS = {"int", "float", "str", "bool", "strip", "lower", "upper", "Path"}
_ENV_NAME = re.compile(r"^[A-Z][A-Z0-9_]{0,80}$")


@dataclass
class Knobs:
    """What is settable in the sources of a submission."""

    env: dict[str, str] = field(default_factory=dict)
    """Environment variable to the attribute or variable that it feeds directly (empty: none known)."""
    kinds: dict[str, str] = field(default_factory=dict)
    """Environment variable to the conversion that reads it: ``int``, ``float``, ``bool``, ``flag=TEXT`` or ``str``."""
    names: set[str] = field(default_factory=set)
    """Lower-case attribute and environment names."""

    def env_of(self, attribute: str) -> str | None:
        """The variable that feeds ``attribute`` alone."""
        return self._reverse().get(attribute)

    def _reverse(self) -> dict[str, str]:
        found: dict[str, str] = {}
        doubled: set[str] = set()
        for name, attribute in self.env.items():
            if attribute in found:
                doubled.add(attribute)
            if attribute:
                found[attribute] = name
        return {a: n for a, n in found.items() if a not in doubled}


def knobs_of(texts: Iterable[str]) -> Knobs:
    """Collect the knobs of several sources; those that do not parse are searched as text."""
    knobs = Knobs()
    for text in texts:
        tree = parse_python(text).tree
        if tree is None:
            for name in re.findall(
                r"(?:environ(?:\.get)?|getenv|_?env\w*)\s*[(\[]\s*['\"]([A-Z][A-Z0-9_]+)['\"]", text
            ):
                knobs.env.setdefault(name, "")
        else:
            _collect(tree, knobs)
    knobs.names |= {name.lower() for name in knobs.env} | {attribute.lower() for attribute in knobs.env.values()}
    knobs.names -= {"", "os", "self"}
    return knobs


def _collect(tree: ast.Module, knobs: Knobs) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            knobs.names |= set(_class_names(node))
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                attribute = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
                if attribute:
                    if isinstance(target, ast.Attribute):
                        knobs.names.add(attribute.lower())
                    if node.value is not None:
                        _feed(attribute, node.value, knobs)
        elif isinstance(node, ast.Call):
            name = _env_read(node)
            if name is not None:
                knobs.env.setdefault(name, "")
            for argument in node.args[:1]:
                if (
                    isinstance(argument, ast.Constant)
                    and isinstance(argument.value, str)
                    and argument.value.startswith("--")
                ):
                    knobs.names.add(argument.value[2:].replace("-", "_").lower())
        elif isinstance(node, ast.Subscript):
            name = _env_read(node)
            if name is not None:
                knobs.env.setdefault(name, "")


def _class_names(node: ast.ClassDef) -> Iterator[str]:
    """Lower-case names that a class body assigns."""
    for statement in node.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        yield from (target.id.lower() for target in targets if isinstance(target, ast.Name))


def _feed(attribute: str, value: ast.expr, knobs: Knobs) -> None:
    """Note ``attribute = int(os.environ.get("NAME", ...))`` and its likes."""
    kind, node = "str", value
    for _ in range(8):
        name = _env_read(node)
        if name is not None:
            if knobs.env.get(name, "") == "":
                knobs.env[name], knobs.kinds[name] = attribute, _helper_kind(node) or kind
            return
        step = _unwrapped(node)
        if step is None:
            return
        kind, node = step[0] or kind, step[1]


def _unwrapped(node: ast.expr) -> tuple[str, ast.expr] | None:
    """(kind that the outer layer implies, inner expression) of a conversion; None when it is none."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        right = node.comparators[0]
        if isinstance(node.ops[0], ast.Eq) and isinstance(right, ast.Constant):
            return f"flag={right.value!s}", node.left
        if isinstance(node.ops[0], (ast.In, ast.NotIn, ast.NotEq)):
            return "bool", node.left
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name == "field" and node.keywords:
            return "", node.keywords[0].value
        if name in ("strip", "lower", "upper") and isinstance(node.func, ast.Attribute):
            return "", node.func.value
        if name in _WRAPPERS and len(node.args) == 1:
            return (name if name in ("int", "float", "bool") else ""), node.args[0]
    if isinstance(node, ast.Lambda):
        return "", node.body
    return None


def _helper_kind(node: ast.expr) -> str | None:
    """``int`` for ``env_int("NAME", 1)``, ``bool`` for ``_env_flag("NAME", False)``."""
    name = ""
    if isinstance(node, ast.Call):
        name = (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")).lower()
    if "bool" in name or "flag" in name:
        return "bool"
    return next((kind for kind in ("int", "float") if kind in name), None)


def _env_read(node: ast.expr) -> str | None:
    """The variable's name when ``node`` reads the environment directly or by a helper whose name says so."""
    if isinstance(node, ast.Subscript):
        owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        return _name(node.slice) if owner == "environ" else None
    if not isinstance(node, ast.Call) or not node.args:
        return None
    function = node.func
    if isinstance(function, ast.Attribute):
        owner = function.value.attr if isinstance(function.value, ast.Attribute) else getattr(function.value, "id", "")
        if (owner == "environ" and function.attr in ("get", "pop", "setdefault")) or function.attr == "getenv":
            return _name(node.args[0])
        named = function.attr
    else:
        named = getattr(function, "id", "")
    is_helper = re.search(r"env|getenv", named, re.I) or named in (
        "_e",
        "E",
        "e",
        "_g",
        "g",
        "G",
        "_int",
        "_float",
        "_bool",
        "_str",
        "_i",
        "_f",
    )
    return _name(node.args[0]) if is_helper else None


def env_readers(tree: ast.Module) -> frozenset[str]:
    """Names that stand for reading the environment: ``_E = os.environ.get`` and functions that read their parameter."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            made = node.value
            if _is_reader(made) or (isinstance(made, ast.Lambda) and _reads_first(made.args, [made.body])):
                found.add(node.targets[0].id)
        elif isinstance(node, ast.FunctionDef) and _reads_first(node.args, node.body):
            found.add(node.name)
    return frozenset(found)


def _is_reader(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and (
        node.attr == "getenv"
        or (node.attr == "get" and getattr(node.value, "attr", getattr(node.value, "id", "")) == "environ")
    )


def _reads_first(args: ast.arguments, body: Iterable[ast.AST]) -> bool:
    """Whether the first parameter is used as the name of an environment variable."""
    if not args.args:
        return False
    first = args.args[0].arg
    for node in (inner for top in body for inner in ast.walk(top)):
        key: ast.expr | None = None
        if isinstance(node, ast.Call) and _is_reader(node.func) and node.args:
            key = node.args[0]
        elif isinstance(node, ast.Subscript) and getattr(node.value, "attr", "") == "environ":
            key = node.slice
        if isinstance(key, ast.Name) and key.id == first:
            return True
    return False


def env_read(node: ast.expr, readers: frozenset[str] = frozenset()) -> str | None:
    """The variable that ``node`` reads from the environment; ``readers`` are further names that do (`env_readers`)."""
    name = _env_read(node)
    if name is None and isinstance(node, ast.Call) and node.args and getattr(node.func, "id", "") in readers:
        name = _name(node.args[0])
    return name


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _ENV_NAME.match(node.value):
        return node.value
    return None


def to_env(kind: str, value: str) -> str | None:
    """A logged value as the text that the environment variable would have; None when that is not plain."""
    if value in ("True", "False") or (kind == "bool" and value in ("true", "false")):
        if kind.startswith("flag="):
            return kind[5:] if value == "True" else "0"
        return "1" if value in ("True", "true") else "0"
    if kind == "int":
        try:
            number = float(value)
        except ValueError:
            return None
        return str(int(number)) if number.is_integer() else None  # False for NaN and infinity
    if kind == "float":
        return value if re.match(r"^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$", value, re.I) else None
    return value if re.match(r"^[\w.+\-,:]{1,120}$", value) and value != "None" else None
