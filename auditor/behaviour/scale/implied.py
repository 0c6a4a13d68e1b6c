"""Switches that a log proves to have been on: a line that was printed stands behind ``if args.ngram_eval:``."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from auditor.behaviour.scale.plan import survey
from auditor.behaviour.scale.roles import role_of
from auditor.behaviour.scale.sites import Site
from auditor.core.submission import Setting, Submission
from auditor.core.types import Place

IMPLIED = "implied"
"""How such a setting is known (`auditor.core.submission.Setting.how`)."""
_NO_SWITCH = re.compile(r"path|file|dir|load|resume|only|skip|dry|smoke")
"""Words of settings that name a file, or leave a part of the run out."""
_OFF = ("0", "false", "no", "off")
_STRIDE = "64"
"""Of a sliding window that is known to be on: one of 1 would take as many calls as there are tokens."""
Needed = dict[str, tuple[str, Place]]
Executed = Mapping[str, Collection[int]]
"""File to the lines of print calls that a log shows to have run."""


def with_implied(submission: Submission, executed: Executed) -> Submission:
    """``submission`` with the switches on that the lines in ``executed`` need.

    Only plain switches: environment variables whose value is off, tested for truth or for being above zero. One that a
    launch command switches off is first given back its default: the command is another run's.
    """
    if not any(executed.values()) or submission.entry is None:
        return submission
    needed = _needed(submission, executed)
    stated = [n for n in needed if n in submission.launch.env]
    if stated:
        places = needed
        env = {n: s for n, s in submission.launch.env.items() if n not in stated}
        submission = replace(submission, launch=replace(submission.launch, env=env))
        needed = _needed(submission, executed)
        defaults = {s.name: str(s.value) for s in survey(submission).sites if s.how == "env" and s.name in stated}
        needed |= {n: (value, places[n][1]) for n, value in defaults.items() if n not in needed}
    return _switched(submission, needed)


def _needed(submission: Submission, executed: Executed) -> Needed:
    """Switches that are off while a line of ``executed`` stands behind them, with the value and that line."""
    found = survey(submission)
    off = {s.name for s in found.sites if _is_off_switch(s)}
    trees = [source.parsed.tree for source in found.sources if source.parsed.tree is not None]
    switches = {name.lower(): name for name in off} | {v: n for tree in trees for v, n in _variables(tree) if n in off}
    strides = {s.name for s in found.sites if role_of(s.words, s.value) == "stride"}
    needed: Needed = {}
    for source in found.sources if switches else ():
        lines = set(executed.get(source.file.path, ()))
        for line, name, value in _guards(source.parsed.tree, lines) if source.parsed.tree is not None else ():
            if name in switches:
                value = _STRIDE if value == "1" and switches[name] in strides else value
                needed.setdefault(switches[name], (value, Place(file=source.file.path, line=line)))
    return needed


def with_switches(submission: Submission, names: Iterable[str]) -> Submission:
    """``submission`` with the named switches on, as `with_implied` found them once, whatever a command says of them."""
    pairs = (name.partition("=") for name in names)
    return _switched(submission, {n: (value or "1", Place()) for n, _, value in pairs})


def implied(submission: Submission) -> tuple[str, ...]:
    """The switches of a submission that `with_implied` has set: names, with ``=value`` where it is not 1."""
    found = [(n, s.value) for n, s in submission.launch.env.items() if s.how == IMPLIED]
    return tuple(sorted(n if value == "1" else f"{n}={value}" for n, value in found))


def _switched(submission: Submission, needed: Needed) -> Submission:
    if not needed:
        return submission
    env = {**submission.launch.env, **{n: Setting(n, value, at, IMPLIED) for n, (value, at) in needed.items()}}
    return replace(submission, launch=replace(submission.launch, env=env))


def _is_off_switch(site: Site) -> bool:
    """Not a weight or a rate, for which 1 is a guess; not the process's rank, which is 0 in the toy run."""
    off = str(site.value).strip().lower() in _OFF and site.kind != "float"
    kept = _NO_SWITCH.search(site.words) or role_of(site.words, site.value) == "local"
    return site.how == "env" and off and not kept


def _variables(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(variable, text in it) for assignments: ``max_order = int(os.environ.get("ORDER", 12))`` has ORDER."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        named = [t for t in targets if isinstance(t, ast.Name | ast.Attribute)]
        names = [t.id if isinstance(t, ast.Name) else t.attr for t in named]
        texts = [c.value for c in ast.walk(node.value) if isinstance(c, ast.Constant) and isinstance(c.value, str)]
        yield from ((name.lower(), text) for name in names for text in texts)


def _guards(tree: ast.Module, lines: set[int]) -> Iterator[tuple[int, str, str]]:
    """(line, name, value) for each name that must have a value (1: true) for one of ``lines`` to run.

    A parameter is what a call makes of it, whatever the setting of its name is.
    """
    stack: list[tuple[ast.AST, frozenset[str]]] = [(tree, frozenset())]
    while stack:
        node, given = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given |= {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
        stack += [(child, given) for child in reversed(list(ast.iter_child_nodes(node)))]
        if not isinstance(node, ast.If) or not node.body:
            continue
        first, last = node.body[0].lineno, node.body[-1].end_lineno or node.body[-1].lineno
        reached = [line for line in lines if first <= line <= last]
        if reached:
            yield from ((min(reached), name, value) for name, value in _truths(node.test, given))


def _truths(test: ast.expr, given: Collection[str]) -> Iterator[tuple[str, str]]:
    """Names that ``test`` needs to be true or above some number that 0 does not reach, with the least such value;
    none of those in ``given``."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        for part in test.values:
            yield from _truths(part, given)
    elif isinstance(test, ast.Compare) and len(test.ops) == 1:
        least = _least(test.ops[0], test.comparators[0])
        if least:
            yield from ((name, str(least)) for name, _ in _truths(test.left, given))
    elif isinstance(test, ast.Attribute):
        yield test.attr.lower(), "1"
    elif isinstance(test, ast.Name) and test.id not in given:
        yield test.id.lower(), "1"


def _least(op: ast.cmpop, right: ast.expr) -> int:
    """The least whole number for which ``number op right`` holds where it does not for 0; 0: none, or not known."""
    value = right.value if isinstance(right, ast.Constant) else None
    if type(value) is not int:
        return 0
    if isinstance(op, ast.Gt) and value >= 0:
        return value + 1
    if isinstance(op, ast.GtE) and value > 0:
        return value
    return int(isinstance(op, ast.NotEq) and value == 0)
