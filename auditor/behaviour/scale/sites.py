"""The knobs of a source: numbers that the environment, an option or a constant decides, each with its place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from auditor.behaviour.scale.evaluate import Scope, truth, worth
from auditor.intake.knobs import env_read, env_readers

Number = int | float
PARTS = "batch_tokens_parts"
"""Name of the site where a batch is cut into so many parts (``train_batch_tokens // 4``)."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Site:
    """One knob. ``span`` is (line, byte column, end byte column) of a literal that may be replaced, on one line."""

    name: str
    how: str
    """``env``, ``argv``, ``const`` (assignment or dict entry), ``default`` (parameter) or ``keyword`` (argument)."""
    value: int | float | str | None
    """The value in the claimed run; None when it cannot be told."""
    file: str
    line: int
    attribute: str = ""
    """The variable that an environment variable or option feeds."""
    span: tuple[int, int, int] | None = None
    owner: str = ""
    """Function or class around it (for a keyword: the function called)."""
    kind: str = ""
    """``int`` or ``float`` where the source converts the text."""
    required: bool = False
    """Read without a default."""

    @property
    def words(self) -> str:
        """The name in lower case, its parts joined by ``_``."""
        return _CAMEL.sub("_", self.name).lower().replace("-", "_").strip("_")


def scope_of(
    trees: list[ast.Module], env: dict[str, str], config: Mapping[str, int | float | str | bool] | None = None
) -> Scope:
    """Names bound at module level and in class bodies, over all files; ``config``: see `Scope`."""
    scope = Scope(env=env, readers=frozenset().union(*(env_readers(tree) for tree in trees)), config=config or {})
    for tree in trees:
        for body in [tree.body, *(n.body for n in ast.walk(tree) if isinstance(n, ast.ClassDef))]:
            for statement in _flat(body, scope):
                if isinstance(statement, ast.Assign):
                    targets, value = statement.targets, statement.value
                elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                    targets, value = [statement.target], statement.value
                else:
                    continue
                for target in targets:
                    if isinstance(target, ast.Name):
                        scope.names.setdefault(target.id, value)
    return scope


def _flat(body: list[ast.stmt], scope: Scope) -> Iterator[ast.stmt]:
    """Statements of a body and of the ifs and tries in it; of an if whose test is known, only the branch taken."""
    for statement in body:
        yield statement
        taken = truth(statement.test, scope) if isinstance(statement, ast.If) else None
        skipped = {True: "orelse", False: "body", None: ""}[taken]
        for name in ("body", "orelse", "finalbody"):
            inner = getattr(statement, name, None)
            if name != skipped and isinstance(inner, list) and isinstance(statement, (ast.If, ast.Try, ast.With)):
                yield from _flat(inner, scope)


def sites_of(file: str, tree: ast.Module, scope: Scope) -> list[Site]:
    """All knobs of one file, in the order of the source; environment variables once."""
    found: list[Site] = []
    seen: set[str] = set()
    kinds: dict[ast.AST, str] = {}
    for owner, node in _walk(tree, ""):
        if isinstance(node, (ast.Call, ast.Subscript)):
            name = env_read(node, scope.readers)
            if name is not None:
                if name not in seen:
                    seen.add(name)
                    value = worth(node, scope)
                    kind, required = kinds.get(node, ""), isinstance(node, ast.Subscript)
                    found.append(Site(name, "env", _plain(value), file, node.lineno, kind=kind, required=required))
                continue
            kinds.update(_converted(node))
        if isinstance(node, ast.Call):
            found += _option(file, node, scope)
            found += _keywords(file, node)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv):
            if "world_size" in ast.dump(node.right):
                found += _site("grad_accum_steps", "const", node.left, file, owner)
            elif _name(node.left).endswith("batch_tokens"):
                found += _site(PARTS, "const", node.right, file, owner)
        elif isinstance(node, ast.Compare):
            found += _compared(file, node, owner)
        elif isinstance(node, ast.Dict):
            found += _entries(file, node, owner)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            found += _assigned(file, node, owner)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found += _defaults(file, node)
    return found


def _converted(node: ast.Call | ast.Subscript) -> dict[ast.AST, str]:
    """The argument of ``int(...)`` or ``float(...)`` with that name."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
        return {}
    return {node.args[0]: node.func.id} if node.func.id in ("int", "float") else {}


def _walk(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.AST]]:
    stack: list[tuple[str, ast.AST]] = [(owner, node)]
    while stack:
        around, current = stack.pop()
        yield around, current
        if isinstance(current, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            around = current.name
        stack += [(around, child) for child in reversed(list(ast.iter_child_nodes(current)))]


def _name(node: ast.expr) -> str:
    """The last name of ``a.b`` or ``b``; empty for anything else."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def literal(node: ast.expr) -> Number | None:
    """The number that a literal or an arithmetic of literals stands for; None for anything else."""
    value = worth(node, Scope()) if isinstance(node, (ast.Constant, ast.BinOp, ast.UnaryOp)) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _span(node: ast.expr) -> tuple[int, int, int] | None:
    if node.end_lineno != node.lineno or node.end_col_offset is None:
        return None
    return node.lineno, node.col_offset, node.end_col_offset


def _plain(value: int | float | str | bool | None) -> int | float | str | None:
    return str(int(value)) if isinstance(value, bool) else value


def _site(name: str, how: str, node: ast.expr, file: str, owner: str) -> list[Site]:
    value, span = literal(node), _span(node)
    return [Site(name, how, value, file, node.lineno, name, span, owner)] if value is not None and span else []


def _assigned(file: str, node: ast.Assign | ast.AnnAssign, owner: str) -> Iterator[Site]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if node.value is None:
        return
    for target in targets:
        if isinstance(target, (ast.Tuple, ast.List)) and isinstance(node.value, (ast.Tuple, ast.List)):
            for part, value in zip(target.elts, node.value.elts, strict=False):
                name = part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "")
                yield from _site(name, "const", value, file, owner) if name else ()
            continue
        name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
        if name and len(targets) == 1:
            value = node.value
            if isinstance(value, ast.Call) and getattr(value.func, "id", getattr(value.func, "attr", "")) == "field":
                value = next((k.value for k in value.keywords if k.arg == "default"), value)
            yield from _site(name, "const", value, file, owner)


def _compared(file: str, node: ast.Compare, owner: str) -> Iterator[Site]:
    """``tensor.numel() <= 65536``: a size limit without a name."""
    left = node.left
    if isinstance(left, ast.Call) and isinstance(left.func, ast.Attribute) and left.func.attr == "numel":
        yield from _site("numel", "const", node.comparators[0], file, owner)


def _entries(file: str, node: ast.Dict, owner: str) -> Iterator[Site]:
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value.isidentifier():
            yield from _site(key.value, "const", value, file, owner)


def _defaults(file: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Site]:
    args = [*node.args.posonlyargs, *node.args.args]
    pairs = list(zip(args[len(args) - len(node.args.defaults) :], node.args.defaults, strict=True))
    pairs += [(a, d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d is not None]
    for arg, default in pairs:
        yield from _site(arg.arg, "default", default, file, node.name)


def _keywords(file: str, node: ast.Call) -> Iterator[Site]:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    for keyword in node.keywords:
        if keyword.arg is not None:
            yield from _site(keyword.arg, "keyword", keyword.value, file, called)


def _option(file: str, node: ast.Call, scope: Scope) -> Iterator[Site]:
    """``add_argument("--train-seq-len", type=int, default=1024)``."""
    if not (isinstance(node.func, ast.Attribute) and node.func.attr in ("add_argument", "option")):
        return
    flags = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    long = next((f for f in flags if f.startswith("--")), None)
    default = next((k.value for k in node.keywords if k.arg == "default"), None)
    if long is None or default is None:
        return
    value = worth(default, scope)
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        yield Site(long, "argv", value, file, node.lineno, long[2:].replace("-", "_"))
