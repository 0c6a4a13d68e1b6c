"""Walk statements: assignments, branches with resolved flags, loops in a first and a later turn, calls' bodies."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any

from auditor.source.flow import calibration, contexts, definitions, disabled, mixes, narrowing, targets
from auditor.source.flow.expressions import evaluate
from auditor.source.flow.idle import idle_turn
from auditor.source.flow.loops import join_envs, truth_of, walk_for, walk_while
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.values import EMPTY, NONE, NOTHING, UNKNOWN, Val, join

__all__ = ["Flow", "walk_block"]


class Flow(Enum):
    """How a block was left."""

    NEXT = auto()
    RETURN = auto()
    BREAK = auto()
    CONTINUE = auto()
    RAISE = auto()


def walk_block(m: Machine, frame: Frame, body: Sequence[ast.stmt]) -> Flow:
    """Walk statements in order until one leaves the block."""
    for node in body:
        m.steps += 1
        handler = _STATEMENTS.get(type(node))
        if handler is None:
            continue
        frame.node = node
        flow = handler(m, frame, node)
        if flow is not Flow.NEXT:
            return flow
    return Flow.NEXT


def _expr(m: Machine, frame: Frame, node: ast.Expr) -> Flow:
    if isinstance(node.value, ast.Constant):
        return Flow.NEXT
    evaluate(m, frame, node.value)
    if isinstance(node.value, ast.Call) and _is_exit(node.value) and not m.uncertain and len(m.frames) > 1:
        return Flow.NEXT
    return Flow.RAISE if isinstance(node.value, ast.Call) and _is_exit(node.value) and m.uncertain else Flow.NEXT


def _is_exit(call: ast.Call) -> bool:
    name = ast.unparse(call.func) if isinstance(call.func, (ast.Name, ast.Attribute)) else ""
    return name in ("sys.exit", "exit", "quit", "os._exit", "SystemExit")


def _assign(m: Machine, frame: Frame, node: ast.Assign) -> Flow:
    val = calibration.accumulated(m, frame, node, evaluate(m, frame, node.value))
    for target in node.targets:
        targets.assign(m, frame, target, val)
    return Flow.NEXT


def _ann_assign(m: Machine, frame: Frame, node: ast.AnnAssign) -> Flow:
    if node.value is not None:
        targets.assign(m, frame, node.target, evaluate(m, frame, node.value))
    elif isinstance(node.target, ast.Name) and frame.cls is not None:
        frame.cls.attrs.setdefault("__fields__", NOTHING)
    return Flow.NEXT


def _aug_assign(m: Machine, frame: Frame, node: ast.AugAssign) -> Flow:
    targets.augmented(m, frame, node)
    return Flow.NEXT


def _return(m: Machine, frame: Frame, node: ast.Return) -> Flow:
    val = NONE if node.value is None else evaluate(m, frame, node.value)
    frame.result = val if frame.result is None else join(frame.result, val)
    return Flow.RETURN


def _if(m: Machine, frame: Frame, node: ast.If) -> Flow:
    test = evaluate(m, frame, node.test)
    truth = truth_of(test)
    apart = False
    if truth is not None and not test.deps and _ran_anyway(m, frame, node, truth):
        apart = _printed_in(m, frame, node.body if truth else node.orelse)
        truth = None if apart else not truth
    if truth is False and m.unknown_launch and hangs_on_setting(m, test):
        truth = None
    if truth is not None:
        body, dead = (node.body, node.orelse) if truth else (node.orelse, node.body)
        if truth and _only_raises(body):
            return Flow.NEXT  # the claimed run did finish: a test that would have stopped it was misjudged
        if dead:
            disabled.note_disabled(m, frame, node.test, dead, truth)
        return walk_block(m, frame, body)
    held, paths = narrowing.narrowed(m, frame, node.test)
    with m.gate(mixes.gates(m, test)):
        flow, ends = _both(
            m,
            frame,
            ast.unparse(node.test)[:120],
            [node.body, node.orelse],
            hangs=apart or hangs_on_setting(m, test),
            idle=idle_turn(node.test, node.body, m.loops[-1].node if m.loops else None),
            known=[paths, {}] if held else [{}, paths],
        )
    mixes.branches(m, frame, node, test, ends)
    return flow


def hangs_on_setting(m: Machine, test: Val) -> bool:
    """Whether a test depends on a setting or a file that is not known."""
    return bool(m.of_kind(test.labels, "cfg"))


def _both(
    m: Machine,
    frame: Frame,
    guard: str,
    bodies: Sequence[Sequence[ast.stmt]],
    *,
    hangs: bool,
    known: Sequence[dict[str, Val]] = (),
    idle: bool = False,
) -> tuple[Flow, list[dict[str, Val]]]:
    """Walk alternatives from the same state and join what they leave; the scopes at their ends."""
    if hangs:
        m.open_settings.append(guard)
    try:
        return _walk_both(m, frame, guard, bodies, known, idle)
    finally:
        if hangs:
            m.open_settings.pop()


def _walk_both(
    m: Machine,
    frame: Frame,
    guard: str,
    bodies: Sequence[Sequence[ast.stmt]],
    known: Sequence[dict[str, Val]],
    idle: bool,
) -> tuple[Flow, list[dict[str, Val]]]:
    before = frame.env
    ends: list[dict[str, Val]] = []
    flows: list[Flow] = []
    weights = [(c, c.labels, c.grads) for c in m.cells] if m.open_settings else []
    for number, body in enumerate(bodies):
        for cell, _, _ in weights:
            cell.other = cell.other | cell.labels
        for cell, labels, grads in weights:  # a setting chooses one branch: the others' updates do not reach it
            cell.labels, cell.grads = labels, grads
        frame.env = dict(before) | (known[number] if number < len(known) else {})
        m.uncertain.append(guard)
        if idle and number == 0:
            m.idle.append(guard)
        try:
            flow = walk_block(m, frame, body) if body else Flow.NEXT
        finally:
            m.uncertain.pop()
            if idle and number == 0:
                m.idle.pop()
        flows.append(flow)
        if flow is Flow.NEXT:
            ends.append(frame.env)
        elif flow in (Flow.BREAK, Flow.CONTINUE):
            frame.left.append(frame.env)
    for cell, _, _ in weights:
        cell.labels, cell.other = cell.labels | cell.other, EMPTY
    for end in ends if len(ends) > 1 else []:  # what one branch knows of a path is not known after both
        end.update({n: before[n] for paths in known for n, v in paths.items() if end.get(n) is v})
    before.update(join_envs(ends) if ends else {})
    frame.env = before
    if ends:
        return Flow.NEXT, ends
    return next((f for f in (Flow.RETURN, Flow.BREAK, Flow.CONTINUE, Flow.RAISE) if f in flows), Flow.NEXT), ends


def _span(body: Sequence[ast.stmt]) -> tuple[int, int]:
    return body[0].lineno, getattr(body[-1], "end_lineno", None) or body[-1].lineno


def _printed_in(m: Machine, frame: Frame, body: Sequence[ast.stmt]) -> bool:
    """Whether the log has a line that one of these statements printed."""
    if not body:
        return False
    first, last = _span(body)
    return any(first <= line <= last for line in m.executed.get(frame.file, ()))


def _ran_anyway(m: Machine, frame: Frame, node: ast.If, truth: bool) -> bool:
    """Whether the log proves that the branch which the flags switch off did run."""
    lines = m.executed.get(frame.file)
    if not lines:
        return False
    dead = node.orelse if truth else node.body
    if not dead:
        return False
    first, last = _span(dead)
    if _printed_in(m, frame, dead):
        _forget(m, frame, node.test)
        m.note(
            f"{frame.file}:{node.lineno}: the settings found switch off lines {first}-{last}, but the log has lines"
            " printed there"
        )
        return True
    return False


def _forget(m: Machine, frame: Frame, test: ast.expr) -> None:
    """The settings in a test that was misjudged are not what was found."""
    for item in ast.walk(test):
        if not isinstance(item, (ast.Name, ast.Attribute)):
            continue
        val = evaluate(m, frame, item)
        if val.known and isinstance(val.const, (int, float, str)):
            targets.assign(m, frame, item, Val(UNKNOWN, val.labels, val.deps))


def _only_raises(body: Sequence[ast.stmt]) -> bool:
    last = body[-1] if body else None
    return isinstance(last, ast.Raise) or (
        isinstance(last, ast.Expr) and isinstance(last.value, ast.Call) and _is_exit(last.value)
    )


def _with(m: Machine, frame: Frame, node: ast.With | ast.AsyncWith) -> Flow:
    flow: Flow = contexts.walk_with(m, frame, node, walk_block)
    return flow


def _try(m: Machine, frame: Frame, node: Any) -> Flow:
    flow = walk_block(m, frame, node.body)
    if flow is Flow.NEXT and node.orelse:
        flow = walk_block(m, frame, node.orelse)
    for handler in node.handlers:
        if _only_raises(handler.body):
            continue
        before = frame.env
        frame.env = dict(before)
        if handler.name:
            frame.env[handler.name] = NOTHING
        m.uncertain.append("except")
        m.open_settings.append("an exception was raised")
        try:
            left = walk_block(m, frame, handler.body)
        finally:
            m.uncertain.pop()
            m.open_settings.pop()
        after = frame.env
        frame.env = before
        if left is Flow.NEXT:
            before.update(join_envs([before, after]))
            flow = Flow.NEXT if flow is Flow.RAISE else flow
    if node.finalbody:
        last = walk_block(m, frame, node.finalbody)
        flow = last if last is not Flow.NEXT else flow
    return flow


def _function(m: Machine, frame: Frame, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Flow:
    definitions.define_function(m, frame, node)
    return Flow.NEXT


def _class(m: Machine, frame: Frame, node: ast.ClassDef) -> Flow:
    definitions.define_class(m, frame, node, walk_block)
    return Flow.NEXT


def _import(m: Machine, frame: Frame, node: ast.Import) -> Flow:
    for alias in node.names:
        definitions.import_module(m, frame, alias.name, alias.asname)
    return Flow.NEXT


def _import_from(m: Machine, frame: Frame, node: ast.ImportFrom) -> Flow:
    definitions.import_from(m, frame, node)
    return Flow.NEXT


def _delete(m: Machine, frame: Frame, node: ast.Delete) -> Flow:
    for target in node.targets:
        if isinstance(target, ast.Name):
            frame.env.pop(target.id, None)
    return Flow.NEXT


def _global(m: Machine, frame: Frame, node: ast.Global) -> Flow:
    frame.global_names.update(node.names)
    return Flow.NEXT


def _nonlocal(m: Machine, frame: Frame, node: ast.Nonlocal) -> Flow:
    frame.nonlocal_names.update(node.names)
    return Flow.NEXT


def _match(m: Machine, frame: Frame, node: ast.Match) -> Flow:
    evaluate(m, frame, node.subject)
    return _both(m, frame, f"match {ast.unparse(node.subject)[:80]}", [case.body for case in node.cases], hangs=False)[
        0
    ]


def _for(m: Machine, frame: Frame, node: ast.For | ast.AsyncFor) -> Flow:
    return _loop_end(walk_for(m, frame, node, _turn))


def _while(m: Machine, frame: Frame, node: ast.While) -> Flow:
    return _loop_end(walk_while(m, frame, node, _turn))


def _turn(m: Machine, frame: Frame, body: Sequence[ast.stmt]) -> str:
    return walk_block(m, frame, body).name


def _loop_end(name: str) -> Flow:
    return Flow.RETURN if name == "RETURN" else Flow.NEXT


def _break(m: Machine, frame: Frame, node: ast.Break) -> Flow:
    return Flow.BREAK


def _continue(m: Machine, frame: Frame, node: ast.Continue) -> Flow:
    return Flow.CONTINUE


def _raise(m: Machine, frame: Frame, node: ast.Raise) -> Flow:
    return Flow.RAISE


_STATEMENTS: dict[type[ast.stmt], Callable[[Machine, Frame, Any], Flow]] = {
    ast.Expr: _expr,
    ast.Assign: _assign,
    ast.AnnAssign: _ann_assign,
    ast.AugAssign: _aug_assign,
    ast.Return: _return,
    ast.If: _if,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.Try: _try,
    ast.TryStar: _try,
    ast.FunctionDef: _function,
    ast.AsyncFunctionDef: _function,
    ast.ClassDef: _class,
    ast.Import: _import,
    ast.ImportFrom: _import_from,
    ast.Delete: _delete,
    ast.Global: _global,
    ast.Nonlocal: _nonlocal,
    ast.Match: _match,
    ast.For: _for,
    ast.AsyncFor: _for,
    ast.While: _while,
    ast.Break: _break,
    ast.Continue: _continue,
    ast.Raise: _raise,
}
