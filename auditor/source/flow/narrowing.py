"""What a test says of a partly known path: ``if "val" in name`` and ``if path.name.startswith("fineweb_val")``."""

from __future__ import annotations

import ast

from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.values import HOLE, Val


def narrowed(m: Machine, frame: Frame, test: ast.expr) -> tuple[bool, dict[str, Val]]:
    """Whether ``test`` asserts (or denies) a text in a path, and the variables as they are where it is asserted."""
    positive = True
    while isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        positive, test = not positive, test.operand
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
    found: dict[str, Val] = {}
    for part in parts:
        if isinstance(part, ast.Compare) and isinstance(part.ops[0], (ast.NotIn, ast.NotEq)):
            if len(parts) > 1:
                continue
            positive = not positive
        elif not isinstance(part, ast.Call) and not (
            isinstance(part, ast.Compare) and isinstance(part.ops[0], (ast.In, ast.Eq))
        ):
            continue
        found |= _said(frame, part)
    return positive, found


def _said(frame: Frame, part: ast.expr) -> dict[str, Val]:
    """The one partly known path in ``part`` with the one text that is written there."""
    texts = [n.value for n in ast.walk(part) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    names = {n.id for n in ast.walk(part) if isinstance(n, ast.Name) and _is_listed(frame.env.get(n.id))}
    if len(names) != 1 or not texts:
        return {}
    name = names.pop()
    val = frame.env[name]
    longest = max(texts, key=len)
    return {name: Val(val.const, val.labels, val.deps, val.objs, f"{val.string or HOLE}{longest}{HOLE}")}


def _is_listed(val: Val | None) -> bool:
    """Whether a value is the name of some file of a folder: its end is not known."""
    return val is not None and not val.known and not val.labels and (val.string or "").endswith(HOLE)
