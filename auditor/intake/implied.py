"""Flags that must have been on because a log holds a line which only the flagged code prints.

``if args.ttt_enabled: log(f"ttt: start ...")`` and a log line that begins with ``ttt: start`` prove ``ttt_enabled``,
also when the print stands in a function that is called under the flag alone, and so does the piece that
``f"start {f'slot_lr={lr}' if use_slot else ''}"`` writes. Only flags are concluded, never numbers.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from auditor.core.submission import LogFile, Setting
from auditor.core.syntax import parse_python
from auditor.core.types import Place
from auditor.intake.knobs import Knobs
from auditor.intake.logged import source_end

SOME = "some logs"
"""``how`` of a setting that fewer than half of the logs prove."""
MIN_PREFIX = 8
"""Shortest literal beginning of a printed line that counts as its mark."""
MIN_PIECE = 6
"""Shortest literal beginning of a piece that a flag adds to a line."""
MAX_PRINTS = 2_000
_PRINTS = re.compile(r"(?i)^(print|log\w*|info|write|master_print|print\w*|warn\w*|debug|echo)$")
Facts = frozenset[tuple[str, str]]
"""(attribute, value) pairs that hold where a statement runs."""


@dataclass
class _Scan:
    """What one walk over the sources collects."""

    prints: list[tuple[str, Facts, str]] = field(default_factory=list)
    """(literal beginning, facts at the print, function that it stands in)."""
    pieces: list[tuple[str, str, Facts]] = field(default_factory=list)
    """(literal beginning, a piece further on that a flag decides, what its being there proves)."""
    calls: dict[str, list[tuple[Facts, str]]] = field(default_factory=dict)
    """Function name to (facts at a mention, function that the mention stands in)."""


def implied_settings(texts: Iterable[str], logs: Iterable[LogFile], knobs: Knobs) -> dict[str, Setting]:
    """Settings by attribute name that the logs' lines prove; only for attributes fed by the environment.

    ``name: value`` proves nothing: a dump of all hyper-parameters prints the same.
    """
    known = {attribute for attribute in knobs.env.values() if attribute} | {name.lower() for name in knobs.env}
    fed = {name: name for name in known}
    scan = _Scan()
    for text in texts:
        tree = parse_python(text).tree
        if tree is not None:
            _walk(tree.body, frozenset(), "", scan, _with_copies(tree, fed))
    dumped = known | set(knobs.env.values())
    marks = {mark: facts for mark, facts in _marks(scan).items() if mark.rstrip(":= ") not in dumped}
    return _found(marks, scan.pieces, logs) if marks or scan.pieces else {}


def _with_copies(tree: ast.Module, fed: Mapping[str, str]) -> dict[str, str]:
    """``fed`` with the variables that hold one of its attributes: ``use_slot = args.slot_enabled``, assigned once."""
    held: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id not in fed:
                    held.setdefault(target.id, set()).add(fed.get(_name(node.value), ""))
    return {**fed, **{name: next(iter(of)) for name, of in held.items() if len(of) == 1 and "" not in of}}


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _walk(body: list[ast.stmt], facts: Facts, function: str, scan: _Scan, fed: Mapping[str, str]) -> None:
    """Collect prints and mentions of functions below ``body``; nesting is bounded by the parser's depth limit."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            _walk(node.body, frozenset(), node.name, scan, fed)
        elif isinstance(node, ast.ClassDef):
            _walk(node.body, frozenset(), function, scan, fed)
        elif isinstance(node, ast.If):
            _expressions([node.test], facts, function, scan, fed)
            _walk(node.body, facts | _facts(node.test, fed), function, scan, fed)
            _walk(node.orelse, facts, function, scan, fed)
        else:
            blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
            blocks += [handler.body for handler in getattr(node, "handlers", [])]
            if any(blocks):
                heads = [c for c in ast.iter_child_nodes(node) if isinstance(c, (ast.expr, ast.withitem))]
                _expressions(heads, facts, function, scan, fed)
                for block in blocks:
                    _walk(block, facts, function, scan, fed)
            else:
                _expressions([node], facts, function, scan, fed)


def _expressions(
    nodes: Iterable[ast.AST], facts: Facts, function: str, scan: _Scan, fed: Mapping[str, str]
) -> None:
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if _PRINTS.match(name):
                    begun = _prefixes(node)
                    scan.prints += [(prefix, facts, function) for prefix in begun]
                    scan.pieces += [(p, piece, told) for p in begun for piece, told in _pieces(node, fed)]
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                scan.calls.setdefault(node.id, []).append((facts, function))
            elif isinstance(node, ast.Attribute):
                scan.calls.setdefault(node.attr, []).append((facts, function))


def _prefixes(call: ast.Call) -> list[str]:
    """The literal beginning of the first argument."""
    first = call.args[0] if call.args else None
    if isinstance(first, ast.JoinedStr) and first.values:
        first = first.values[0] if isinstance(first.values[0], ast.Constant) else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        lines = first.value.strip("\n").split("\n")
        prefix = lines[0].strip()
        if len(prefix) >= MIN_PREFIX and re.search(r"[A-Za-z]{3}", prefix):
            return [prefix]
    return []


def _pieces(call: ast.Call, fed: Mapping[str, str]) -> Iterator[tuple[str, Facts]]:
    """Pieces of the printed text that a flag decides, each with what its being there proves."""
    first = call.args[0] if call.args else None
    for part in first.values if isinstance(first, ast.JoinedStr) else ():
        if not isinstance(part, ast.FormattedValue) or not isinstance(part.value, ast.IfExp):
            continue
        chosen, other = part.value.body, part.value.orelse
        piece = _literal(chosen).strip()
        told = _facts(part.value.test, fed)
        if told and len(piece) >= MIN_PIECE and not _literal(other).strip():
            yield piece, told


def _literal(node: ast.expr) -> str:
    """The literal beginning of a text."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _facts(test: ast.expr, fed: Mapping[str, str]) -> Facts:
    """What ``test`` being true says of attributes that the environment feeds."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return frozenset().union(*(_facts(part, fed) for part in test.values))
    name = _name(test)
    if name in fed:
        return frozenset({(fed[name], "True")})
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        left, right = test.left, test.comparators[0]
        name = _name(left)
        if name in fed and isinstance(right, ast.Constant) and isinstance(right.value, str):
            return frozenset({(fed[name], right.value)})
    return frozenset()


def _marks(scan: _Scan) -> dict[str, Facts]:
    """Literal beginning to what its being printed proves: what holds at every print that could make such a line."""
    reached = _function_facts(scan)
    whole = [
        (prefix, facts | reached.get(function, frozenset())) for prefix, facts, function in scan.prints[:MAX_PRINTS]
    ]
    alike: dict[str, list[tuple[str, Facts]]] = {}
    for prefix, facts in whole:
        alike.setdefault(prefix[:MIN_PREFIX], []).append((prefix, facts))
    marks: dict[str, Facts] = {}
    for prefix, facts in whole:
        if not facts or prefix in marks:
            continue
        near = alike[prefix[:MIN_PREFIX]]
        rivals = [other for text, other in near if text.startswith(prefix) or prefix.startswith(text)]
        common = facts.intersection(*rivals)
        if common:
            marks[prefix] = common
    return marks


def _function_facts(scan: _Scan) -> dict[str, Facts]:
    """What holds whenever a function is entered: the facts common to all mentions, over three levels of callers."""
    functions = {function for _, _, function in scan.prints} | {f for uses in scan.calls.values() for _, f in uses}
    result: dict[str, Facts] = dict.fromkeys(functions, frozenset())
    for _ in range(3):
        for name in functions:
            uses = [(facts, caller) for facts, caller in scan.calls.get(name, []) if caller != name]
            if name and uses:
                result[name] = frozenset.intersection(
                    *(facts | result.get(caller, frozenset()) for facts, caller in uses)
                )
    return result


def _found(
    marks: dict[str, Facts], pieces: list[tuple[str, str, Facts]], logs: Iterable[LogFile]
) -> dict[str, Setting]:
    """The first log line that proves each fact; contradicting facts (two values) are dropped.

    A fact that fewer than half of the logs prove has ``how`` = `SOME`.
    """
    index: dict[str, list[str]] = {}
    for prefix in marks:
        index.setdefault(prefix[:MIN_PREFIX], []).append(prefix)
    values: dict[str, dict[str, Setting]] = {}
    proving: dict[str, set[str]] = {}
    logs = list(logs)
    for log in logs:
        start = source_end(log.lines)
        for number, line in enumerate(log.lines[start:], start + 1):
            text = line.lstrip()
            proved = [marks[p] for p in index.get(text[:MIN_PREFIX], ()) if text.startswith(p)]
            proved += [facts for p, piece, facts in pieces if text.startswith(p) and piece in text[len(p) :]]
            for name, value in sorted(frozenset().union(*proved)):
                place = Place(log=log.path, line=number)
                values.setdefault(name, {}).setdefault(value, Setting(name, value, place, "log"))
                proving.setdefault(name, set()).add(log.path)
    sure = {name: next(iter(found.values())) for name, found in values.items() if len(found) == 1}
    few = {name for name, paths in proving.items() if 2 * len(paths) < len(logs)}
    return {name: replace(s, how=SOME) if name in few else s for name, s in sure.items()}
