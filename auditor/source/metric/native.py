"""Hints gated by the token that is being scored, in C, C++ and CUDA text.

Inside a loop over positions ``p``, a variable that holds the token at ``p`` itself (not at ``p - 1``) is *current*; a
table looked up by it is a property of the current token. When such a property decides what is written for position
``p`` (a hint, its probability, its weight), the prediction knew something of its target. Using it afterwards, to
update tables, is what every causal counter does.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from auditor.core.submission import Role, Submission
from auditor.core.types import PathStep
from auditor.source.metric.codeindex import Function, Index
from auditor.source.metric.ctext import CFunction, Stmt, Tok, functions, match_close, split_args
from auditor.source.metric.labelflow import Label, LabelFlow
from auditor.source.metric.settings import Settings, Worth
from auditor.source.metric_facts import Reach, TargetGate

_NATIVE_ENDINGS = (".c", ".cc", ".cpp", ".cu", ".cxx", ".h", ".hpp", ".cuh")
_LOOKS_LIKE_C = re.compile(r"\b(?:for|if)\s*\([^)]*\)\s*\{|\bvoid\s+\w+\s*\(")
_GATED = "gated"


@dataclass
class _Gate:
    """What one C function writes under the current token's property."""

    function: CFunction
    line: int
    lookup_line: int
    outputs: set[str]


@dataclass
class _State:
    current: set[str] = field(default_factory=set)
    """Variables that hold the token at the loop's own position."""
    tainted: dict[str, int] = field(default_factory=dict)
    """Variables decided by a property of the current token: name to the line of the look-up."""
    plain: set[str] = field(default_factory=set)
    """Of `tainted`, those that merely hold what the table says: to write them out is no decision by them."""
    positions: set[str] = field(default_factory=set)
    gates: list[_Gate] = field(default_factory=list)


def analyse_native(submission: Submission, index: Index, settings: Settings) -> tuple[TargetGate, ...]:
    """All gates in native text, with whether the settings in force switch them off."""
    found: list[TargetGate] = []
    for path, text, offset in native_texts(submission, index):
        for gate in gates_in(text):
            weights = _weights(index, settings, gate)
            reach, why = _reach(weights)
            line = gate.line + offset
            what = "what is written for a position depends on a property of the token at that position"
            found.append(
                TargetGate(
                    path,
                    line,
                    gate.function.name,
                    what,
                    (
                        PathStep(
                            path, gate.lookup_line + offset, "a table is looked up by the token at the position itself"
                        ),
                        PathStep(path, line, f"its answer decides what {gate.function.name} writes for that position"),
                    ),
                    reach,
                    why,
                    tuple((w.setting or name, _number(w), w.why) for name, w, _ in weights),
                )
            )
    return tuple(found)


def native_texts(submission: Submission, index: Index) -> list[tuple[str, str, int]]:
    """(file, text, lines before it): native files, and long string literals of C in the Python files."""
    out = [
        (f.path, f.text, 0)
        for f in submission.modules
        if f.role is Role.NATIVE or f.path.lower().endswith(_NATIVE_ENDINGS)
    ]
    for file, tree in index.trees.items():
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and len(text) > 200 and "\n" in text and _LOOKS_LIKE_C.search(text):
                assert isinstance(node, ast.Constant)
                out.append((file, text, node.lineno - 1))
    return out


def gates_in(text: str) -> list[_Gate]:
    """The gates of one native text, at most one per function."""
    found: list[_Gate] = []
    for function in functions(text):
        state = _State()
        _walk(function.body, state, function, None)
        if state.gates:
            first = state.gates[0]
            first.outputs = {name for gate in state.gates for name in gate.outputs}
            found.append(first)
    return found


def _walk(body: list[Stmt], state: _State, function: CFunction, under: int | None) -> None:
    """``under``: line of the look-up that decides whether this code runs."""
    for statement in body:
        if statement.kind == "loop":
            state.positions |= _loop_variables(statement.head)
            _walk(statement.body, state, function, under)
        elif statement.kind == "if":
            decided = _taint(statement.head, state)
            inner = decided if decided is not None else under
            _walk(statement.body, state, function, inner)
            _walk(statement.orelse, state, function, inner)
        elif statement.kind == "block":
            _walk(statement.body, state, function, under)
        else:
            _expression(statement.head, state, function, under)


def _loop_variables(head: list[Tok]) -> set[str]:
    """``for (T i = 0; ...)``: ``i``. A loop over a list of positions gives the variable read from it later."""
    for i, tok in enumerate(head):
        if tok.text == ";":
            break
        if tok.text == "=" and i and head[i - 1].word:
            return {head[i - 1].text}
    return set()


def _taint(toks: list[Tok], state: _State) -> int | None:
    """Line of the look-up when these tokens hold a property of the current token."""
    for i, tok in enumerate(toks):
        if tok.word and tok.text in state.tainted:
            return state.tainted[tok.text]
        if tok.text == "[" and i and toks[i - 1].word:
            inside = toks[i + 1 : match_close(toks, i, len(toks))]
            words = {t.text for t in inside if t.word}
            if words & state.current and not any(t.text in "+-^*" for t in inside):
                return tok.line
            if _reads_current(inside, state):
                return tok.line
    return None


def _reads_current(inside: list[Tok], state: _State) -> bool:
    """``lut[tokens[p]]``: an index that is itself an element at the position."""
    return len(inside) >= 4 and inside[0].word and inside[1].text == "[" and _at_position(inside[2:-1], state)


def _at_position(toks: list[Tok], state: _State) -> bool:
    return len(toks) == 1 and toks[0].text in state.positions


def _expression(toks: list[Tok], state: _State, function: CFunction, under: int | None) -> None:
    equal = next((i for i, t in enumerate(toks) if t.text == "=" and _top_level(toks, i)), None)
    if equal is None:
        _call(toks, state, under)
        return
    left, right = toks[:equal], toks[equal + 1 :]
    taint = _taint(right, state)
    plain = taint is not None and under is None and not _decides(right, state)
    taint = taint if taint is not None else under
    bracket = next((i for i, t in enumerate(left) if t.text == "["), None)
    if bracket is not None:
        index = left[bracket + 1 : match_close(left, bracket, len(left))]
        if taint is not None and not plain and bracket and _at_position(index, state) and left[bracket - 1].word:
            state.gates.append(_Gate(function, left[0].line, taint, {left[bracket - 1].text}))
        return
    name = next((t.text for t in reversed(left) if t.word), "")
    if not name or "->" in {t.text for t in left} or "." in {t.text for t in left}:
        return
    if _is_current(right, state):
        state.current.add(name)
    elif _is_position(right, state):
        state.positions.add(name)
    elif taint is not None:
        state.tainted[name] = taint
        (state.plain.add if plain else state.plain.discard)(name)
    else:
        state.tainted.pop(name, None)


def _decides(toks: list[Tok], state: _State) -> bool:
    """Whether a property decides in this expression: by ``?`` or through a name that something else decided."""
    return any(t.text == "?" or (t.text in state.tainted and t.text not in state.plain) for t in toks)


def _top_level(toks: list[Tok], at: int) -> bool:
    depth = 0
    for tok in toks[:at]:
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(tok.text, 0)
    return depth == 0


def _element(toks: list[Tok]) -> tuple[str, list[Tok]] | None:
    """``(T) arr[index]`` or ``T(arr[index])``: the array and the index, when that is all there is."""
    bracket = next((i for i, t in enumerate(toks) if t.text == "["), None)
    if not bracket or not toks[bracket - 1].word:
        return None
    close = match_close(toks, bracket, len(toks))
    if any(t.text not in {")", "}"} for t in toks[close + 1 :]):
        return None
    if any(t.text in {"?", "+", "-", "^", "*", "%", "&&", "||"} for t in toks[:bracket]):
        return None
    return toks[bracket - 1].text, toks[bracket + 1 : close]


def _is_current(toks: list[Tok], state: _State) -> bool:
    element = _element(toks)
    return element is not None and _at_position(element[1], state) and not _holds_positions(element[0])


def _is_position(toks: list[Tok], state: _State) -> bool:
    """``p = positions[i]``: a position read from a list of positions."""
    element = _element(toks)
    return element is not None and _at_position(element[1], state) and _holds_positions(element[0])


def _holds_positions(name: str) -> bool:
    return bool(re.search(r"pos|idx|index|offset", name, re.I))


def _call(toks: list[Tok], state: _State, under: int | None) -> None:
    """``f(property, out1, out2)``: plain names that it is given may be written through references."""
    opened = next((i for i, t in enumerate(toks) if t.text == "(" and i and toks[i - 1].word), None)
    if opened is None:
        return
    args = split_args(toks[opened + 1 : match_close(toks, opened, len(toks))])
    taint = next((line for arg in args if (line := _taint(arg, state)) is not None), under)
    if taint is None:
        return
    for arg in args:
        name = arg[-1].text if arg[-1].word and len(arg) <= 2 else ""
        if name and name not in state.current and name not in state.positions and name not in state.tainted:
            state.tainted[name] = taint


# -- how strong the gated hint is, on the Python side


def _weights(index: Index, settings: Settings, gate: _Gate) -> list[tuple[str, Worth, bool]]:
    """(name, worth, is a threshold) of the scalars that scale or threshold what the gate wrote."""
    flow = LabelFlow(index)
    at = {i for i, param in enumerate(gate.function.params) if param in gate.outputs}
    seeded = False
    for function in index.functions:
        for node in function.nodes:
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == gate.function.name
            ):
                for i in at:
                    name = _base_name(node.args[i]) if i < len(node.args) else None
                    if name:
                        flow.seed(function, name, Label(_GATED, 0))
                        seeded = True
    if not seeded:
        return []
    flow.propagate()
    found: dict[str, tuple[str, Worth, bool]] = {}
    for function in index.functions:
        for node in function.nodes:
            for scalar, threshold in _scalars(flow, function, node):
                worth = settings.worth(_unwrapped(scalar), function)
                found.setdefault(ast.unparse(scalar), (ast.unparse(scalar), worth, threshold))
    return list(found.values())


def _base_name(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _scalars(flow: LabelFlow, function: Function, node: ast.AST) -> list[tuple[ast.expr, bool]]:
    """Scalars that stand with a gated value: factors, arguments of a helper beside it, thresholds."""

    def gated(expr: ast.expr) -> bool:
        return any(label.role == _GATED for label in flow.labels(expr, function))

    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.GtE | ast.Gt):
        right = node.comparators[0]
        return [(right, True)] if gated(node.left) and not gated(right) and _scalar(right) else []
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        pairs = ((node.left, node.right), (node.right, node.left))
        return [(b, False) for a, b in pairs if gated(a) and not gated(b) and _scalar(b)]
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in flow.index.by_name):
        return []
    if len(node.args) > 3 or not any(gated(a) for a in node.args):
        return []
    return [(a, False) for a in node.args if not gated(a) and _scalar(a)]


def _unwrapped(node: ast.expr) -> ast.expr:
    """``np.float32(x)`` is worth what ``x`` is."""
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        return node.args[0]
    return node


def _scalar(node: ast.expr) -> bool:
    return isinstance(_unwrapped(node), ast.Name | ast.Attribute)


def _number(worth: Worth) -> float | None:
    value = worth.value
    return float(value) if worth.known and isinstance(value, int | float) and not isinstance(value, bool) else None


def _reach(weights: list[tuple[str, Worth, bool]]) -> tuple[Reach, str]:
    numbers = [(name, _number(worth), threshold, worth) for name, worth, threshold in weights]
    for name, value, threshold, worth in numbers:
        if value is not None and ((threshold and value > 1.0) or (not threshold and value == 0.0)):
            return Reach.OFF, f"{name} is {value:g}: {worth.why}"
    live = [(name, value, worth) for name, value, threshold, worth in numbers if value is not None and not threshold]
    if live:
        return Reach.USED, "; ".join(f"{name} is {value:g}: {worth.why}" for name, value, worth in live[:3])
    return Reach.UNKNOWN, "no setting that scales the gated hint was found"
