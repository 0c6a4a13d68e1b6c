"""Code that a resolved setting switches off, when it would have used validation or training data."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from auditor.source.facts import Origin
from auditor.source.flow.calibration import in_model
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.values import Val

_LEARNS = frozenset({"backward", "step"})
_PLAIN = (ast.BoolOp, ast.Compare, ast.UnaryOp, ast.IfExp, ast.Name, ast.Attribute)


def note_disabled(m: Machine, frame: Frame, test: ast.AST, dead: Sequence[ast.stmt], truth: bool) -> None:
    """Record dead code under a test of a setting, when it trains or is given loaded data."""
    if not dead or m.uncertain or in_model(m):
        return
    key = (frame.file, dead[0].lineno)
    if key in m.disabled or not _on_setting(m, frame, test) or not _uses_data(m, frame, dead):
        return
    text = ast.unparse(test)[:160]
    m.disabled[key] = (m.site(dead[0]), text, f"`{text}` is {truth} under the settings found")


def _on_setting(m: Machine, frame: Frame, test: ast.AST) -> bool:
    names = _setting_names(m, frame)
    return any(_is_environment(part) or _named(part) in names for part in ast.walk(test))


def _setting_names(m: Machine, frame: Frame) -> frozenset[str]:
    """Names (of variables and attributes) that hold settings of the launch, in one file; remembered."""
    known = m.setting_names.get(frame.file)
    if known is None:
        tree = next((t for file, t in m.module_sources.values() if file == frame.file), m.entry_tree)
        told = set() if tree is None else _collect(list(_assignments(tree)))
        known = frozenset(told | {name.lower() for name in m.launch.env})
        m.setting_names[frame.file] = known
    return known


def _assignments(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            yield _named(node.target), node.value
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                yield _named(target), node.value


def _collect(assignments: list[tuple[str, ast.expr]]) -> set[str]:
    """Names assigned from the environment, and names of plain tests made of such names."""
    names = {name for name, value in assignments if name and any(map(_is_environment, ast.walk(value)))}
    for _ in range(2):
        names |= {
            name
            for name, value in assignments
            if name and isinstance(value, _PLAIN) and any(_named(part) in names for part in ast.walk(value))
        }
    return names


def _named(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_environment(node: ast.AST) -> bool:
    """``os.environ``, ``getenv``, ``env_int(...)``."""
    name = _named(node).lower()
    return name in ("environ", "getenv") or name.startswith("env_") or name.endswith("_env") or name == "env"


def _uses_data(m: Machine, frame: Frame, dead: Sequence[ast.stmt]) -> bool:
    """Whether dead code takes a gradient step, or calls something with validation or training data."""
    for call in (n for stmt in dead for n in ast.walk(stmt) if isinstance(n, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr in _LEARNS:
            return True
        given = (*call.args, *(k.value for k in call.keywords))
        if any(_holds_data(m, frame, part) for arg in given for part in ast.walk(arg)):
            return True
    return False


def _holds_data(m: Machine, frame: Frame, node: ast.AST) -> bool:
    from auditor.source.flow.files import origin_of

    val = _value(frame, node)
    if val is None:
        return False
    labels = m.deep(val)
    loaded = m.has_origin(labels, Origin.VAL) or m.has_origin(labels, Origin.TRAIN)
    return (loaded and not m.of_kind(labels, "nll", "par", "upd", "stat")) or origin_of(val.string) is not None


def _value(frame: Frame, node: ast.AST) -> Val | None:
    """What a name, or an attribute of one, stands for now, without evaluating anything."""
    if isinstance(node, ast.Attribute):
        owner = _value(frame, node.value)
        found = [o.attrs[node.attr] for o in owner.objs if node.attr in o.attrs] if owner is not None else []
        return found[0] if found else None
    if not isinstance(node, ast.Name):
        return None
    for scope in (frame.env, *frame.closure, frame.globals):
        if node.id in scope:
            return scope[node.id]
    return None
