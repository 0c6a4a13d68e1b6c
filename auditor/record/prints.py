"""Print-like calls of a source text: which names print, what they print, and which calls always run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from auditor.core.syntax import parse_python
from auditor.record.patterns import OPEN, Parts, Template, parts_of, split_lines

_BASE = frozenset({"print", "pprint"})
_METHODS = frozenset({"info", "warning", "error", "debug", "write", "writelines", "echo", "print", "log"})
_NOT_LOGGERS = frozenset({"math", "np", "numpy", "torch", "F", "jnp", "mx", "cmath"})
_MAX_DEPTH = 6


@dataclass(frozen=True, slots=True)
class PrintCall:
    """A call that prints. ``templates`` is empty for ``print(x)`` with an unknown text."""

    line: int
    end_line: int
    templates: tuple[Template, ...]
    always: bool
    """It runs in every run that gets that far, and its line reaches the console."""
    order: int
    """Place in the order of unconditional execution; -1 unless ``always``."""
    scope: int
    """Line of the enclosing function (0: module): calls of one scope run in line order."""


@dataclass(slots=True)
class FilePrints:
    """All templates and print calls of one file. ``problem``: why it could not be read."""

    file: str
    templates: list[Template] = field(default_factory=list)
    calls: list[PrintCall] = field(default_factory=list)
    problem: str | None = None


def read_prints(file: str, text: str) -> FilePrints:
    """The templates of one Python source text. Never raises on bad syntax: see `FilePrints.problem`."""
    module = parse_python(text)
    if module.tree is None:
        reason = module.problem.reason if module.problem else "no syntax tree"
        return FilePrints(file, problem=reason)
    tree = module.tree
    loggers = logger_names(tree)
    order = {id(call): n for n, call in enumerate(_always(tree, loggers))}
    found = FilePrints(file)
    seen: set[int] = set()
    for node, scope in _scoped(tree):
        if isinstance(node, ast.Call) and _prints(node, loggers):
            found.calls.append(_call(node, order.get(id(node), -1), scope))
            seen.update(id(arg) for arg in node.args)
            found.templates.extend(found.calls[-1].templates)
    for template in _loose_strings(tree, seen):
        found.templates.append(template)
    return found


def logger_names(tree: ast.AST) -> frozenset[str]:
    """Names whose call prints: ``print``, and every function or parameter through which a text reaches a printer."""
    names = set(_BASE)
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    named = {id(n.value): n.targets[0].id for n in ast.walk(tree)
             if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name) and isinstance(n.value, ast.Lambda)}
    for _ in range(4):
        size = len(names)
        for function in functions:
            name = named.get(id(function)) if isinstance(function, ast.Lambda) else function.name
            if name and name not in names and _forwards(function, names):
                names.add(name)
        names |= set(_aliases(tree, names))
        if len(names) == size:
            break
    return frozenset(names)


def _forwards(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, names: set[str]) -> bool:
    """Whether a function hands its first text parameter on to a printer."""
    arguments = [*function.args.args, *([function.args.vararg] if function.args.vararg else [])]
    parameters = {a.arg for a in arguments if a.arg != "self"}
    if not parameters:
        return False
    body: list[ast.AST] = [function.body] if isinstance(function.body, ast.expr) else list(function.body)
    for top in body:
        for node in ast.walk(top):
            if isinstance(node, ast.Call) and _prints(node, names):
                used = {n.id for arg in node.args for n in ast.walk(arg) if isinstance(n, ast.Name)}
                if used & parameters and all(_passes(arg, parameters) for arg in node.args[:1]):
                    return True
    return False


def _passes(arg: ast.expr, parameters: set[str]) -> bool:
    """The argument is a parameter itself, starred, or wrapped with nothing but a prefix."""
    if isinstance(arg, ast.Starred):
        arg = arg.value
    if isinstance(arg, ast.Name):
        return arg.id in parameters
    if isinstance(arg, ast.BinOp):
        return _passes(arg.left, parameters) or _passes(arg.right, parameters)
    if isinstance(arg, ast.JoinedStr):
        plain = [v for v in arg.values if isinstance(v, ast.FormattedValue)]
        text = "".join(str(v.value) for v in arg.values if isinstance(v, ast.Constant))
        return sum(c.isalnum() for c in text) <= 3 and any(_passes(v.value, parameters) for v in plain)
    return isinstance(arg, ast.Call) and isinstance(arg.func, ast.Name) and arg.func.id == "str"


def _aliases(tree: ast.AST, names: set[str]) -> Iterator[str]:
    """``log = print``, ``log0 = logger.info``, and parameters with a printer as their default or argument."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _is_printer(node.value, names):
            yield from (t.id for t in node.targets if isinstance(t, ast.Name))
            yield from (t.attr for t in node.targets if isinstance(t, ast.Attribute))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            positional = [*node.args.posonlyargs, *node.args.args]
            defaults = node.args.defaults
            for arg, default in zip(positional[len(positional) - len(defaults) :], defaults, strict=True):
                if _is_printer(default, names):
                    yield arg.arg
            for arg, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                if value is not None and _is_printer(value, names):
                    yield arg.arg
        elif isinstance(node, ast.Call):
            yield from (k.arg for k in node.keywords if k.arg and _is_printer(k.value, names))


def _is_printer(node: ast.expr, names: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in names
    return isinstance(node, ast.Attribute) and node.attr in ("info", "write", "print") and not _numeric(node.value)


def _numeric(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in _NOT_LOGGERS


def _prints(node: ast.Call, names: set[str] | frozenset[str]) -> bool:
    func = node.func
    if isinstance(func, ast.Name):
        return func.id in names or (func.id in ("log", "log0", "print0", "log_fn", "logger") and bool(node.args))
    if not isinstance(func, ast.Attribute) or _numeric(func.value):
        return False
    return func.attr in _METHODS or func.attr in names


def _scoped(tree: ast.Module) -> Iterator[tuple[ast.AST, int]]:
    """Every node with the line of the function around it."""
    todo: list[tuple[ast.AST, int]] = [(tree, 0)]
    while todo:
        node, scope = todo.pop()
        yield node, scope
        inner = node.lineno if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) else scope
        todo.extend((child, inner) for child in ast.iter_child_nodes(node))


def _call(node: ast.Call, order: int, scope: int) -> PrintCall:
    texts = _print_parts(node)
    templates = tuple(
        _template(line, node.lineno, call=True) for parts in texts for line in split_lines(parts) if line
    )
    return PrintCall(node.lineno, node.end_lineno or node.lineno, templates, order >= 0, order, scope)


def _print_parts(node: ast.Call) -> list[Parts]:
    """The text of the call: arguments joined by ``sep``; unknown arguments are open holes."""
    keywords = {k.arg: k.value for k in node.keywords}
    sep = keywords.get("sep")
    between = sep.value if isinstance(sep, ast.Constant) and isinstance(sep.value, str) else " "
    known = [parts_of(arg) for arg in node.args if not isinstance(arg, ast.Starred)]
    if not any(known):
        return []
    is_print = isinstance(node.func, ast.Name) and node.func.id in _BASE
    if not is_print:
        return [parts for parts in known if parts]
    joined: Parts = []
    for number, parts in enumerate(known):
        if number:
            joined.append(between)
        joined.extend(parts if parts is not None else [(OPEN,)])
    return [joined]


def _template(parts: Parts, line: int, *, call: bool) -> Template:
    merged: Parts = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, str) and isinstance(last, str):
            merged[-1] = last + part
        else:
            merged.append(part)
    typed = sum(1 for p in merged if isinstance(p, tuple) and p[0] != OPEN)
    return Template(tuple(merged), line, call, typed)


def _loose_strings(tree: ast.AST, seen: set[int]) -> Iterator[Template]:
    """String expressions outside print calls: they may be printed through a variable."""
    inside: set[int] = set()
    for node in ast.walk(tree):
        if id(node) in inside or not isinstance(node, ast.expr):
            continue
        if id(node) in seen:
            inside.update(id(n) for n in ast.walk(node) if isinstance(n, ast.expr) and not isinstance(n, ast.Call))
            continue
        parts = parts_of(node, fold=False)
        if parts is None:
            continue
        inside.update(id(n) for n in ast.walk(node))
        for line in split_lines(parts):
            template = _template(line, node.lineno, call=False)
            if template.strength >= 3:
                yield template


def _always(tree: ast.Module, loggers: frozenset[str]) -> Iterator[ast.Call]:
    """Print calls that every complete run makes, in the order in which it makes them."""
    functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    yield from _block(tree.body, functions, loggers, depth=0, active=frozenset())


def _block(
    body: list[ast.stmt],
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef],
    loggers: frozenset[str],
    *,
    depth: int,
    active: frozenset[str],
) -> Iterator[ast.Call]:
    for statement in body:
        if isinstance(statement, ast.If):
            if _is_main_guard(statement.test):
                yield from _block(statement.body, functions, loggers, depth=depth, active=active)
            elif _leaves(statement):
                return
        elif isinstance(statement, ast.With | ast.Try):
            yield from _block(statement.body, functions, loggers, depth=depth, active=active)
        elif isinstance(statement, ast.Return | ast.Raise):
            return
        elif isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign | ast.AugAssign):
            yield from _statement(statement, functions, loggers, depth=depth, active=active)


def _statement(
    statement: ast.stmt,
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef],
    loggers: frozenset[str],
    *,
    depth: int,
    active: frozenset[str],
) -> Iterator[ast.Call]:
    for node in ast.walk(statement):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        if _prints(node, loggers):
            if not _file_only(node):
                yield node
        elif isinstance(node.func, ast.Name) and node.func.id in functions and depth < _MAX_DEPTH:
            name = node.func.id
            if name not in active:
                yield from _block(functions[name].body, functions, loggers, depth=depth + 1, active=active | {name})


def _is_main_guard(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _leaves(statement: ast.If) -> bool:
    """Whether a branch may leave the function early (raising ends the run and is no way to skip a line)."""
    branches = [*statement.body, *statement.orelse]
    return any(isinstance(node, ast.Return) for branch in branches for node in ast.walk(branch))


def _file_only(node: ast.Call) -> bool:
    """``console=False`` or a bare False: the line goes to the log file, which the shipped log may not be."""
    values = [*node.args[1:], *(k.value for k in node.keywords if k.arg in ("console", "to_console"))]
    hidden = any(isinstance(v, ast.Constant) and v.value is False for v in values)
    return hidden or any(k.arg == "file" for k in node.keywords)
