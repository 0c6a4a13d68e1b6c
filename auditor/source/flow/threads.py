"""Work handed to threads and what they hand back: a thread runs where it is started, a queue gives what was put in."""

from __future__ import annotations

import ast

from auditor.source.flow.calls import Args, Kwargs, call_value
from auditor.source.flow.definitions import find_in_class
from auditor.source.flow.iteration import peek
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.values import NONE, NOTHING, Obj, Val

_THREADS = frozenset({"Thread", "Process", "Timer"})
_QUEUES = frozenset({"Queue", "SimpleQueue", "LifoQueue", "JoinableQueue"})


def remember_target(m: Machine, made: Val, name: str, args: Args, kwargs: Kwargs) -> None:
    """Keep what a thread will run on the object that stands for it."""
    if name.rpartition(".")[2] not in _THREADS:
        return
    for obj in made.objs:
        obj.attrs["%target"] = kwargs.get("target", args[1] if len(args) > 1 else NOTHING)
        obj.attrs["%args"] = kwargs.get("args", NOTHING)


def start(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    """``thread.start()``: its target runs."""
    for obj in owner.objs:
        run = _own_run(obj)
        if run is not None:
            call_value(m, frame, node, run, [Val(objs=(obj,))], {})
        target = obj.attrs.get("%target")
        if target is None:
            continue
        given = [v for o in obj.attrs["%args"].objs for v in (o.items or {}).values()]
        call_value(m, frame, node, target, given, {})
    return NONE


def _own_run(obj: Obj) -> Val | None:
    """The ``run`` of a user's class of threads."""
    if obj.kind != "instance" or obj.cls is None:
        return None
    bases = [obj.cls, *obj.cls.data["bases"]]
    library = any(name.rpartition(".")[2] in _THREADS for cls in bases for name in cls.data["names"])
    return find_in_class(obj.cls, "run") if library else None


def put(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    """``queue.put(item)``."""
    for obj in owner.objs:
        if obj.kind in ("opaque", "list") and args:
            m.add_element(obj, args[0])
            m.taint(obj, m.deep(args[0]), args[0].deps)
    return NONE


def taken(m: Machine, owner: Val) -> Val | None:
    """``queue.get()``; None when ``owner`` is no queue that something was put into."""
    queues = [o for o in owner.objs if o.name.rpartition(".")[2] in _QUEUES and o.elem is not None]
    return peek(m, Val(objs=tuple(queues))) if queues else None
