"""Bytes per token: what the table counts, and what the evaluation adds to it.

BPB divides by the bytes of the validation text. The usual table leaves out a token's leading space (U+2581) and the
evaluation adds one byte where the previous token is no boundary; a table that counts the space already makes it count
twice. The table's values come from `toyexec`, the way from the table to the sum from `labelflow`.
"""

from __future__ import annotations

import ast

from auditor.core.types import PathStep
from auditor.source.metric import toyexec
from auditor.source.metric import toyvalues as toy
from auditor.source.metric.codeindex import Function, Index
from auditor.source.metric.labelflow import Label, LabelFlow
from auditor.source.metric_facts import ByteTable, FixedBytes, SpaceAdded

_PIECE_CALLS = frozenset({"id_to_piece", "IdToPiece"})
BYTES, SPACE, BOUNDARY = "bytes", "space", "boundary"
_MAX_BUILDERS = 24


def analyse_bytes(index: Index) -> tuple[tuple[ByteTable, ...], tuple[SpaceAdded, ...], tuple[str, ...]]:
    """All byte tables, the places that add a space byte to one, and what could not be followed."""
    flow = LabelFlow(index)
    tables: list[ByteTable] = []
    unread: list[str] = []
    for function in _builders(index)[:_MAX_BUILDERS]:
        tables_here, complete = _walk_builder(index, function, flow, len(tables))
        tables += tables_here
        if not complete:
            unread.append(f"{function.file}: {function.qualname} is too long to be worked out on the toy vocabulary")
    if not tables:
        return (), (), tuple(unread)
    flow.propagate()
    return tuple(tables), tuple(_additions(index, flow, tables)), tuple(unread)


def _builders(index: Index) -> list[Function]:
    return [f for f in index.functions if any(_asks_tokenizer(node) for node in f.nodes)]


def _asks_tokenizer(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _PIECE_CALLS


def _walk_builder(index: Index, function: Function, flow: LabelFlow, first: int) -> tuple[list[ByteTable], bool]:
    """Walk one builder; seed its tables' labels. Table number ``first + i`` is the label's seed."""
    known = {f.name: f.node for f in index.functions if f.file == function.file and isinstance(f.node, ast.FunctionDef)}
    known.pop(function.name, None)
    walker = toyexec.Walker(known, dict(index.constants.get(function.file, {})))
    body = _relevant(function.body) if len(function.body) > 60 or function.node is None else function.body
    outcome = walker.run(body)
    found: list[ByteTable] = []
    spaces: list[str | int] = []
    bounds: list[tuple[str | int, toy.Table]] = []
    places: list[tuple[str | int, int]] = []
    for place, table in _tables(outcome):
        role = _role(table)
        if role == BYTES:
            places.append((place, first + len(found)))
            found.append(_byte_table(function, place, table))
        elif role == SPACE:
            spaces.append(place)
        elif role == BOUNDARY:
            bounds.append((place, table))
    for place, seed in places:
        _seed(flow, function, place, Label(BYTES, seed))
    for place in spaces:
        for _, seed in places or [("", -1)]:
            _seed(flow, function, place, Label(SPACE, seed))
    if bounds:
        unused = bool(bounds[0][1].get(toy.UNUSED_ID))
        found = [_with_boundary(table, unused) for table in found]
    return found, outcome.complete


def _relevant(body: list[ast.stmt]) -> list[ast.stmt]:
    """Of a long body: what asks the tokenizer, and simple bindings."""
    kept: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            continue
        asks = any(_asks_tokenizer(node) for node in ast.walk(statement))
        if asks and isinstance(statement, ast.If | ast.With | ast.Try):
            kept += _relevant(statement.body) + (_relevant(statement.orelse) if isinstance(statement, ast.If) else [])
        elif asks or isinstance(statement, ast.Assign | ast.AnnAssign):
            kept.append(statement)
    return kept


def _tables(outcome: toyexec.Outcome) -> list[tuple[str | int, toy.Table]]:
    found: list[tuple[str | int, toy.Table]] = [
        (name, value) for name, value in outcome.names.items() if isinstance(value, toy.Table)
    ]
    named = {id(table) for _, table in found}
    parts = outcome.returned if isinstance(outcome.returned, tuple) else (outcome.returned,)
    for position, part in enumerate(parts):
        if isinstance(part, toy.Table) and id(part) not in named:
            found.append((position if isinstance(outcome.returned, tuple) else -1, part))
    return found


def _role(table: toy.Table) -> str | None:
    plain, spaced, accent = (table.get(i) for i in (toy.PLAIN_ID, toy.SPACED_ID, toy.ACCENT_ID))
    if table.number(toy.PLAIN_ID) == 3 and table.number(toy.ACCENT_ID) in {1, 2}:
        return BYTES if table.number(toy.SPACED_ID) is not None else None
    if (
        isinstance(plain, str)
        or isinstance(spaced, str)
        or not all(isinstance(v, bool | int) for v in (plain, spaced, accent))
    ):
        return None
    if spaced and not plain and not accent:
        return SPACE
    control = table.get(toy.CONTROL_ID)
    return BOUNDARY if isinstance(control, bool | int) and control and not plain and not spaced else None


def _byte_table(function: Function, place: str | int, table: toy.Table) -> ByteTable:
    line = next((n.lineno for n in function.nodes if isinstance(n, ast.Call) and _asks_tokenizer(n)), 1)
    name = place.lstrip(".") if isinstance(place, str) else ""
    for node in function.nodes:
        if isinstance(node, ast.Assign) and isinstance(place, str) and _writes(node, place):
            line = node.lineno
    return ByteTable(
        function.file,
        line,
        function.qualname,
        name,
        table.number(toy.PLAIN_ID),
        table.number(toy.SPACED_ID),
        table.number(toy.BYTE_ID),
        table.number(toy.ACCENT_ID),
    )


def _writes(node: ast.Assign, place: str) -> bool:
    for target in node.targets:
        base = target.value if isinstance(target, ast.Subscript) else None
        if isinstance(base, ast.Name) and base.id == place:
            return True
        if isinstance(base, ast.Attribute) and "." + base.attr == place:
            return True
    return False


def _with_boundary(table: ByteTable, unused: bool) -> ByteTable:
    return ByteTable(
        table.file,
        table.line,
        table.function,
        table.name,
        table.plain,
        table.spaced,
        table.byte_token,
        table.accent,
        unused,
    )


def _seed(flow: LabelFlow, function: Function, place: str | int, label: Label) -> None:
    if isinstance(place, str):
        flow.seed(function, place, label)
    else:
        flow.seed_return(function, place, label)


def _additions(index: Index, flow: LabelFlow, tables: list[ByteTable]) -> list[SpaceAdded]:
    found: dict[tuple[str, int, int], SpaceAdded] = {}
    for function in index.functions:
        hot = [node for node in function.nodes if isinstance(node, ast.AugAssign | ast.BinOp | ast.If | ast.Call)]
        for node in hot:
            for seed in _adds(flow, function, node):
                table = tables[seed]
                line = node.lineno
                found.setdefault(
                    (function.file, line, seed),
                    SpaceAdded(
                        function.file,
                        line,
                        function.qualname,
                        table,
                        (
                            PathStep(
                                table.file,
                                table.line,
                                f"{table.function}: the table gives {table.spaced} bytes to a "
                                "leading space and three letters",
                            ),
                            PathStep(
                                function.file,
                                line,
                                f"{function.qualname}: one more byte is added for the leading space",
                            ),
                        ),
                    ),
                )
    return list(found.values())


def _adds(flow: LabelFlow, function: Function, node: ast.AST) -> set[int]:
    """Seeds of the byte tables to whose per-token count ``node`` adds the leading-space indicator."""
    match node:
        case ast.AugAssign(op=ast.Add()):
            return _meet(flow, function, node.target, node.value)
        case ast.BinOp(op=ast.Add()):
            return _meet(flow, function, node.left, node.right) | _meet(flow, function, node.right, node.left)
        case ast.If():
            tested = _seeds(flow, node.test, function, SPACE)
            return tested & _increments(flow, function, node.body) if tested else set()
        case ast.Call(func=ast.Attribute(attr="where")) if len(node.args) == 3:
            tested = _seeds(flow, node.args[0], function, SPACE)
            return {s for s in tested if _plus_one(node.args[1]) and s in _seeds(flow, node.args[1], function, BYTES)}
        case _:
            return set()


def _meet(flow: LabelFlow, function: Function, count: ast.expr, indicator: ast.expr) -> set[int]:
    """Tables counted by ``count`` whose indicator alone is ``indicator`` (not a sum that holds the count already)."""
    whole = _seeds(flow, indicator, function, BYTES)
    return (_seeds(flow, count, function, BYTES) & _seeds(flow, indicator, function, SPACE)) - whole


def _seeds(flow: LabelFlow, node: ast.expr, function: Function, role: str) -> set[int]:
    """Seeds of the per-token values of ``role`` in ``node``; nothing when it mixes both roles already."""
    labels = [label for label in flow.labels(node, function) if label.indexed]
    return {label.seed for label in labels if label.role == role}


def _increments(flow: LabelFlow, function: Function, body: list[ast.stmt]) -> set[int]:
    """Byte tables whose per-token count the body raises by a constant."""
    seeds: set[int] = set()
    for statement in body:
        if isinstance(statement, ast.AugAssign) and isinstance(statement.op, ast.Add) and _is_one(statement.value):
            seeds |= _seeds(flow, statement.target, function, BYTES)
        elif isinstance(statement, ast.Assign) and _plus_one(statement.value):
            seeds |= _seeds(flow, statement.value, function, BYTES)
    return seeds


def _is_one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 1


def _plus_one(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and (_is_one(node.left) or _is_one(node.right))


def analyse_fixed(index: Index) -> tuple[FixedBytes, ...]:
    """Divisions by tokens times a literal in a bits-per-byte formula (a fixed number of bytes per token)."""
    return tuple(
        FixedBytes(function.file, node.lineno, ast.unparse(node)[:120], value)
        for function in index.functions
        for node in function.nodes
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div | ast.Mult)
        and (value := _fixed(node, index, function.file))
    )


def _fixed(node: ast.BinOp, index: Index, file: str) -> float | None:
    """``loss / ln 2 / 3.5``, ``loss / (ln 2 * 3.5)``, ``bits * 0.41``: the bytes per token that it assumes."""
    factors: list[tuple[ast.expr, bool]] = []
    _flatten(node, True, factors)
    if not any(not up and _is_ln2(part) for part, up in factors):
        return None
    for part, up in factors:
        value = _number(part, index, file)
        if value is not None and not _is_ln2(part):
            bytes_per_token = value if not up else 1 / value if value else 0.0
            if 1.2 <= bytes_per_token <= 8.0 and not float(bytes_per_token).is_integer():
                return bytes_per_token
    return None


def _flatten(node: ast.expr, up: bool, out: list[tuple[ast.expr, bool]]) -> None:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        _flatten(node.left, up, out)
        _flatten(node.right, up if isinstance(node.op, ast.Mult) else not up, out)
    else:
        out.append((node, up))


def _is_ln2(node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and node.args:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name == "log" and isinstance(node.args[0], ast.Constant) and node.args[0].value == 2
    return (
        isinstance(node, ast.Constant) and isinstance(node.value, float) and abs(node.value - 0.6931471805599453) < 1e-6
    )


def _number(node: ast.expr, index: Index, file: str) -> float | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    if isinstance(node, ast.Name):
        value = index.constants.get(file, {}).get(node.id)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return None
