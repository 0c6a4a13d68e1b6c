"""Loops: walked in a first turn and, where it could differ, in one later turn that stands for all others.

The first turn knows the first element (``epoch == 0``); the later turn knows that it is not the first. Variables
that the body assigns vary with the loop. What a path leaves by ``break`` or ``continue`` joins the turn's end.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from auditor.source.flow import disabled, targets
from auditor.source.flow.expressions import evaluate
from auditor.source.flow.iteration import NAMES, choices_of, element, turn_count
from auditor.source.flow.machine import Frame, LoopState, Machine
from auditor.source.flow.values import NOTHING, Val, join

Turn = Callable[[Machine, Frame, Sequence[ast.stmt]], str]


def open_loop(m: Machine, node: ast.AST, turns: int | None) -> LoopState:
    """Enter a loop: the same place under the same calls is the same loop, also in an outer loop's later turn."""
    key = (m.stack(), m.frame.file, getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
    state = m.loop_keys.get(key)
    if state is None:
        state = LoopState(len(m.loop_keys), m.site(node), turns, node=node)
        m.loop_keys[key] = state
        m.loop_table[state.id] = state
    elif state.turns != turns:
        state.turns = None
    state.turn = 0
    m.loops.append(state)
    return state


def walk_for(m: Machine, frame: Frame, node: Any, turn: Turn) -> str:
    """Walk a ``for`` statement; the name of the flow that leaves it."""
    iterable = evaluate(m, frame, node.iter)
    turns = turn_count(iterable)
    if turns == 0:
        disabled.note_disabled(m, frame, node.iter, node.body, False)
        return "NEXT"

    def start(state: LoopState) -> bool:
        targets.assign(m, frame, node.target, element(m, node, iterable, state))
        return True

    return _turns(m, frame, node, turns, start, turn, names=len(choices_of(iterable)))


def walk_while(m: Machine, frame: Frame, node: ast.While, turn: Turn) -> str:
    """Walk a ``while`` statement."""

    def start(state: LoopState) -> bool:
        return truth_of(evaluate(m, frame, node.test)) is not False

    return _turns(m, frame, node, None, start, turn)


def _turns(
    m: Machine,
    frame: Frame,
    node: Any,
    turns: int | None,
    start: Callable[[LoopState], bool],
    turn: Turn,
    names: int = 0,
) -> str:
    """Walk the turns; a loop over a few written-out texts (``names`` of them) is walked for each."""
    state = open_loop(m, node, turns)
    carried = [n for n in assigned_names(node) if n in frame.env]
    outer_left, frame.left = frame.left, []
    ends: list[dict[str, Val]] = []
    flow = "NEXT"
    try:
        last = max(3, min(names, NAMES)) - 1
        for number in range(last + 1):
            state.turn, state.number = min(number, 1), number
            updated = len(m.update_places)
            before = {n: frame.env[n] for n in carried if n in frame.env}
            _mark_carried(m, frame, before, state)
            effects = m.effects
            frame.left = []
            if not start(state):
                break
            flow = turn(m, frame, node.body)
            ends = [frame.env, *frame.left] if flow in ("NEXT", "CONTINUE", "BREAK") else list(frame.left)
            if ends:
                frame.env = join_envs(ends) if len(ends) > 1 else ends[0]
            if flow not in ("NEXT", "CONTINUE") and not frame.left:
                break
            idle = m.effects == effects and not _changed(frame, before)
            if turns == 1 or (number == 0 and number + 1 >= names and idle):
                break
            if number and number + 1 >= names and len(m.update_places) == updated:
                break  # what first changes state in a later turn is followed into one more
            if number < last:
                frame.env.update({n: join(v, frame.env[n]) for n, v in before.items() if n in frame.env})
    finally:
        m.loops.pop()
        frame.left = outer_left
    if flow == "RETURN" and not ends:
        return "RETURN"
    return _otherwise(m, frame, node, turn) if node.orelse else "NEXT"


def _otherwise(m: Machine, frame: Frame, node: Any, turn: Turn) -> str:
    """Walk a loop's ``else``, which a ``break`` skips: then what the loop left stands beside what ``else`` leaves."""
    if not any(isinstance(item, ast.Break) for item in ast.walk(node)):
        return turn(m, frame, node.orelse)
    broken = dict(frame.env)
    flow = turn(m, frame, node.orelse)
    frame.env = join_envs([broken, frame.env]) if flow == "NEXT" else broken
    return "NEXT"


def _mark_carried(m: Machine, frame: Frame, before: dict[str, Val], state: LoopState) -> None:
    mark = frozenset({state.id})
    for name, val in before.items():
        if not val.objs and state.id not in val.deps:
            frame.env[name] = Val(val.const, val.labels, val.deps | mark, val.objs, val.text)


def _changed(frame: Frame, before: dict[str, Val]) -> bool:
    for name, val in before.items():
        now = frame.env.get(name, NOTHING)
        if now is not val and (now.labels != val.labels or now.objs != val.objs):
            return True
    return False


def assigned_names(node: ast.AST) -> tuple[str, ...]:
    """Names that a loop's body assigns (not those of functions defined in it)."""
    cached: tuple[str, ...] | None = getattr(node, "_assigned", None)
    if cached is None:
        names: dict[str, None] = {}
        stack: list[ast.AST] = list(getattr(node, "body", []))
        while stack:
            item = stack.pop()
            if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
                continue
            if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store):
                names[item.id] = None
            stack.extend(ast.iter_child_nodes(item))
        cached = tuple(names)
        node._assigned = cached  # type: ignore[attr-defined]
    return cached


def join_envs(ends: Sequence[dict[str, Val]]) -> dict[str, Val]:
    """The scope after any of several paths."""
    if len(ends) == 1:
        return ends[0]
    result: dict[str, Val] = {}
    for end in ends:
        for name, val in end.items():
            old = result.get(name)
            result[name] = val if old is None or old is val else join(old, val)
    return result


def truth_of(val: Val) -> bool | None:
    """Truth of a value when it is certain."""
    if val.known:
        try:
            return bool(val.const)
        except (TypeError, ValueError):
            return None
    kinds = {o.kind for o in val.objs}
    if kinds and kinds <= {"function", "class", "module", "instance", "builtin", "method"}:
        return True
    if kinds == {"later"} and all(o.data == 0 for o in val.objs):
        return True
    return None
