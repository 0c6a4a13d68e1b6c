"""Switches that a log proves to have been on: a line that was printed stands behind ``if args.ngram_eval:``."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from auditor.behaviour.scale.plan import survey
from auditor.behaviour.scale.sites import Site
from auditor.core.submission import Setting, Submission
from auditor.core.types import Place

IMPLIED = "implied"
"""How such a setting is known (`auditor.core.submission.Setting.how`)."""
_NO_SWITCH = re.compile(r"path|file|dir|load|resume|only|skip|dry|smoke")
"""Words of settings that name a file, or leave a part of the run out."""
_OFF = ("0", "false", "no", "off", "")
Executed = Mapping[str, Collection[int]]
"""File to the lines of print calls that a log shows to have run."""


def with_implied(submission: Submission, executed: Executed) -> Submission:
    """``submission`` with the switches on that the lines in ``executed`` need and that nothing states.

    Only plain switches: environment variables whose default is off, tested for truth and nothing else.
    """
    if not any(executed.values()) or submission.entry is None:
        return submission
    found = survey(submission)
    switches = {s.attribute or s.words: s for s in found.sites if _is_off_switch(s, submission)}
    if not switches:
        return submission
    needed: dict[str, Place] = {}
    for source in found.sources:
        lines = set(executed.get(source.file.path, ()))
        for line, name in _guards(source.parsed.tree, lines) if source.parsed.tree is not None else ():
            if name in switches:
                needed.setdefault(switches[name].name, Place(file=source.file.path, line=line))
    return _switched(submission, needed)


def with_switches(submission: Submission, names: Iterable[str]) -> Submission:
    """``submission`` with the named switches on, as `with_implied` found them once."""
    return _switched(submission, {name: Place() for name in names if name not in submission.launch.env})


def implied(submission: Submission) -> tuple[str, ...]:
    """The switches of a submission that `with_implied` has set."""
    return tuple(sorted(n for n, s in submission.launch.env.items() if s.how == IMPLIED))


def _switched(submission: Submission, needed: Mapping[str, Place]) -> Submission:
    if not needed:
        return submission
    env = {**submission.launch.env, **{n: Setting(n, "1", at, IMPLIED) for n, at in needed.items()}}
    return replace(submission, launch=replace(submission.launch, env=env))


def _is_off_switch(site: Site, submission: Submission) -> bool:
    off = str(site.value).strip().lower() in _OFF
    return site.how == "env" and off and not _NO_SWITCH.search(site.words) and site.name not in submission.launch.env


def _guards(tree: ast.Module, lines: set[int]) -> Iterator[tuple[int, str]]:
    """(line, name) for each name that must be true for one of ``lines`` to run, innermost tests included."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.If) or not node.body:
            continue
        first, last = node.body[0].lineno, node.body[-1].end_lineno or node.body[-1].lineno
        reached = [line for line in lines if first <= line <= last]
        if reached:
            yield from ((min(reached), name) for name in _truths(node.test))


def _truths(test: ast.expr) -> Iterator[str]:
    """Names that ``test`` needs to be true."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        for part in test.values:
            yield from _truths(part)
    elif isinstance(test, ast.Attribute):
        yield test.attr.lower()
    elif isinstance(test, ast.Name):
        yield test.id.lower()
