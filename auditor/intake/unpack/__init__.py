"""Decode self-extracting scripts without executing anything of them.

``unpack`` walks a script with the loader machine, takes what it would execute, and repeats until plain code is left.
"""

from __future__ import annotations

import ast
import contextlib
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from auditor.core.syntax import parse_python
from auditor.intake.limits import LIMITS, Limits
from auditor.intake.unpack.machine import Machine, Return, Run, script_scope
from auditor.intake.unpack.values import REPOSITORY, ROOT, normal

_SUSPECT = re.compile(r"\bexec\s*\(|\beval\s*\(\s*compile|runpy|spec_from_file_location|SourceFileLoader|\bexecv")
THIN_STATEMENTS = 90
"""A script with fewer statements (those of what it runs not counted) is a wrapper: what it runs is the script."""


@dataclass
class Unpacked:
    """What a script comes down to."""

    text: str
    layers: tuple[str, ...] = ()
    decoded: int = 0
    """Bytes of the decoded text (with embedded modules)."""
    modules: dict[str, str] = field(default_factory=dict)
    """Embedded further files or modules: path to text."""
    env: list[tuple[str, str, int, bool]] = field(default_factory=list)
    """Environment variables that the wrapper sets: (name, value, line, only if unset)."""
    target: str | None = None
    """A shipped file that a shim only loads (relative to the folder)."""
    problems: list[str] = field(default_factory=list)

    @property
    def packed(self) -> bool:
        """Whether anything was decoded."""
        return bool(self.layers)


def suspect(text: str) -> bool:
    """Cheap test: is it worth walking this script? Short ones always are: they may be shims."""
    return len(text) < 6_000 or bool(_SUSPECT.search(text))


def unpack(path: str, text: str, beside: Callable[[str], bytes | None], limits: Limits = LIMITS) -> Unpacked:
    """Decode ``text`` of the file ``path``; ``beside`` reads another file of the folder by its relative path."""
    result = Unpacked(text)
    files: dict[str, bytes] = {}
    for _ in range(limits.layers):
        if not suspect(result.text) or not _one_layer(path, result, files, beside, limits):
            return result
    result.problems.append(f"still packed after {limits.layers} layers")
    return result


def _one_layer(
    path: str, result: Unpacked, files: dict[str, bytes], beside: Callable[[str], bytes | None], limits: Limits
) -> bool:
    """Replace ``result.text`` by what it runs; False when it is the script itself."""
    tree = parse_python(result.text).tree
    if tree is None:
        return False
    machine = Machine(path, files, beside, limits.steps, limits.decoded_bytes)
    statements = sum(isinstance(node, ast.stmt) for node in ast.walk(tree))
    with contextlib.suppress(Return, RecursionError):
        machine.walk(tree.body, script_scope(normal(path)))
    effects = machine.effects
    if statements <= THIN_STATEMENTS:
        result.env.extend(effects.env)
    return _choose(path, result, machine, statements, len(result.text) - _data_chars(tree))


def _choose(path: str, result: Unpacked, machine: Machine, statements: int, code: int) -> bool:
    """Decide which of the runs is the script; the others are embedded modules."""
    thin = statements <= THIN_STATEMENTS
    main: Run | None = None
    for run in machine.effects.runs:
        text = run.text if run.text is not None else _written(machine, run)
        shipped = _shipped(path, machine, run)
        if run.problem is not None or (text is None and shipped is None):
            if thin:
                _cannot(result, machine, run)
        elif run.module is not None:
            if text is not None and shipped is None and len(text) > 80:
                result.modules[_module_path(run)] = text
                result.layers += run.layers
        elif shipped is not None:
            result.target = shipped if thin else result.target
        elif text is not None and _is_script(text, run, code, statements):
            main = Run(run.line, text=text, layers=run.layers)
    if main is None or main.text is None or main.text == result.text:
        _count(result)
        return False
    result.target = None
    _embed(path, result, machine, main.text)
    result.text = main.text.replace("\r\n", "\n").replace("\r", "\n")
    result.layers += main.layers or tuple(machine.effects.layers) or ("embedded text",)
    _count(result)
    return True


def _data_chars(tree: ast.Module) -> int:
    """Characters of a script that are long literals."""
    values = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, (str, bytes))]
    return sum(len(repr(value)) for value in values if len(value) > 40)


def _is_script(text: str, run: Run, code: int, statements: int) -> bool:
    """Whether what is executed is the script itself rather than a helper line of a larger program.

    ``code`` is the number of characters of the wrapper that are no data.
    """
    if statements > THIN_STATEMENTS:
        return text.count("\n") > 4 * statements
    return bool(run.layers) or run.path is not None or len(text) >= code


def _cannot(result: Unpacked, machine: Machine, run: Run) -> None:
    """Say what a wrapper runs that cannot be read."""
    if run.problem is not None:
        result.problems.append(f"line {run.line}: what is executed cannot be decoded: {run.problem}")
    elif run.path is not None and posixpath.basename(run.path) not in map(posixpath.basename, machine.files):
        shown = run.path.removeprefix(f"{ROOT}/").removeprefix(f"{REPOSITORY}/")
        result.problems.append(f"line {run.line}: runs {shown}, which is not in the folder")


def _count(result: Unpacked) -> None:
    if result.layers:
        result.decoded = sum(len(t.encode("utf-8", "replace")) for t in (result.text, *result.modules.values()))


def _written(machine: Machine, run: Run) -> str | None:
    data = machine.files.get(run.path or "")
    return None if data is None else data.decode("utf-8", "replace")


def _shipped(path: str, machine: Machine, run: Run) -> str | None:
    """The file of the folder (not itself) that this run only loads unchanged."""
    if run.path is not None and run.path not in machine.files:
        inner = run.path.removeprefix(ROOT + "/")
        candidates = [inner, posixpath.join(posixpath.dirname(path), posixpath.basename(inner))]
        for name in candidates:
            if name != path and machine.beside(name) is not None:
                return name
        return None
    return machine.loaded.get(run.text) if run.text is not None and not run.layers else None


def _module_path(run: Run) -> str:
    if run.path is not None:
        return posixpath.basename(run.path)
    return (run.module or f"line{run.line}").replace(".", "/") + ".py"


def _embed(path: str, result: Unpacked, machine: Machine, main: str) -> None:
    """Files that the wrapper writes beside the script are embedded modules."""
    for name, data in machine.files.items():
        if name.endswith((".py", ".c", ".cpp", ".cu", ".h", ".cuh")):
            text = data.decode("utf-8", "replace")
            if name != normal(path) and text != main:
                result.modules[posixpath.basename(name)] = text
