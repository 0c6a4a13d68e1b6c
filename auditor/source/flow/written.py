"""Arrays that this run writes to a file one after the other and reads again in the same order; files that are moved."""

from __future__ import annotations

import ast

from auditor.source.flow.calls import Args, Kwargs
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.values import EMPTY, NONE, Labels, Obj, Val


def tofile(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    """``array.tofile(where)``: a path, or a file that is open for writing and may get more arrays."""
    where = args[0] if args else kwargs.get("fid", NONE)
    labels = m.without(m.deep(owner), "par")
    handles = [o for o in where.objs if o.kind == "file"]
    if where.string is not None and not handles:
        m.write_file(where.string, labels)
    for handle in handles:
        path = handle.attrs["%path"].string
        m.write_file(path, labels)
        _note(m.parts_of(path), _turn(m, handle), labels)
    return NONE


def part(m: Machine, handle: Obj) -> Labels | None:
    """Labels of the array that is next in a file of several; None where that is not known."""
    parts = m.parts_written(handle.attrs["%path"].string)
    number = _turn(m, handle)
    return parts[number] if number < len(parts) else None


def moved(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """``os.replace(a, b)``, ``shutil.copy(a, b)``: what was written to the one is read from the other."""
    if len(args) > 1:
        labels = m.read_file(args[0].string)
        if labels is not None:
            parts = m.parts_written(args[0].string)
            m.write_file(args[1].string, labels)
            for number, of_part in enumerate(parts):
                _note(m.parts_of(args[1].string), number, of_part)
    return NONE


def _note(parts: list[Labels], number: int, labels: Labels) -> None:
    parts.extend([EMPTY] * (number + 1 - len(parts)))
    parts[number] = parts[number] | labels


def _turn(m: Machine, handle: Obj) -> int:
    """How many arrays went through ``handle`` before."""
    number = m.handled.get(handle, 0)
    m.handled[handle] = number + 1
    return number
