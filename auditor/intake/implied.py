"""Flags that must have been on because a log holds a line which only the flagged code prints.

``if args.ttt_enabled: log(f"ttt: start ...")`` and a log line that begins with ``ttt: start`` prove ``ttt_enabled``,
also when the print stands in a function that is called under the flag alone. Only flags are concluded, never numbers.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
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
MAX_PRINTS = 2_000
_PRINTS = re.compile(r"(?i)^(print|log\w*|info|write|master_print|print\w*|warn\w*|debug|echo)$")
Facts = frozenset[tuple[str, str]]
"""(attribute, value) pairs that hold where a statement runs."""


@dataclass
class _Scan:
    """What one walk over the sources collects."""

    prints: list[tuple[str, Facts, str]] = field(default_factory=list)
    """(literal beginning, facts at the print, function that it stands in)."""
    calls: dict[str, list[tuple[Facts, str]]] = field(default_factory=dict)
    """Function name to (facts at a mention, function that the mention stands in)."""


def implied_settings(texts: Iterable[str], logs: Iterable[LogFile], knobs: Knobs) -> dict[str, Setting]:
    """Settings by attribute name that the logs' lines prove; only for attributes fed by the environment.

    ``name: value`` proves nothing: a dump of all hyper-parameters prints the same.
    """
    fed = {attribute for attribute in knobs.env.values() if attribute} | {name.lower() for name in knobs.env}
    scan = _Scan()
    for text in texts:
        tree = parse_python(text).tree
        if tree is not None:
            _walk(tree.body, frozenset(), "", scan, fed)
    dumped = fed | set(knobs.env.values())
    marks = {mark: facts for mark, facts in _marks(scan).items() if mark.rstrip(":= ") not in dumped}
    return _found(marks, logs) if marks else {}


def _walk(body: list[ast.stmt], facts: Facts, function: str, scan: _Scan, fed: set[str]) -> None:
    """Collect prints and mentions of functions below ``body``; nesting is bounded by the parser's depth limit."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            _walk(node.body, frozenset(), node.name, scan, fed)
        elif isinstance(node, ast.ClassDef):
            _walk(node.body, frozenset(), function, scan, fed)
        elif isinstance(node, ast.If):
            _expressions([node.test], facts, function, scan)
            _walk(node.body, facts | _facts(node.test, fed), function, scan, fed)
            _walk(node.orelse, facts, function, scan, fed)
        else:
            blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
            blocks += [handler.body for handler in getattr(node, "handlers", [])]
            if any(blocks):
                heads = [c for c in ast.iter_child_nodes(node) if isinstance(c, (ast.expr, ast.withitem))]
                _expressions(heads, facts, function, scan)
                for block in blocks:
                    _walk(block, facts, function, scan, fed)
            else:
                _expressions([node], facts, function, scan)


def _expressions(nodes: Iterable[ast.AST], facts: Facts, function: str, scan: _Scan) -> None:
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if _PRINTS.match(name):
                    scan.prints += [(prefix, facts, function) for prefix in _prefixes(node)]
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


def _facts(test: ast.expr, fed: set[str]) -> Facts:
    """What ``test`` being true says of attributes that the environment feeds."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return frozenset().union(*(_facts(part, fed) for part in test.values))
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    if name in fed:
        return frozenset({(name, "True")})
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        left, right = test.left, test.comparators[0]
        name = left.attr if isinstance(left, ast.Attribute) else getattr(left, "id", "")
        if name in fed and isinstance(right, ast.Constant) and isinstance(right.value, str):
            return frozenset({(name, right.value)})
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


def _found(marks: dict[str, Facts], logs: Iterable[LogFile]) -> dict[str, Setting]:
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
            for prefix in index.get(line.lstrip()[:MIN_PREFIX], ()):
                if line.lstrip().startswith(prefix):
                    for name, value in marks[prefix]:
                        place = Place(log=log.path, line=number)
                        values.setdefault(name, {}).setdefault(value, Setting(name, value, place, "log"))
                        proving.setdefault(name, set()).add(log.path)
    sure = {name: next(iter(found.values())) for name, found in values.items() if len(found) == 1}
    few = {name for name, paths in proving.items() if 2 * len(paths) < len(logs)}
    return {name: replace(s, how=SOME) if name in few else s for name, s in sure.items()}
