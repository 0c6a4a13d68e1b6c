"""Which files of the folder the entry reaches, by reading imports and loads; nothing is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from auditor.core.submission import Role
from auditor.core.syntax import parse_python

NATIVE_SUFFIXES = frozenset({".c", ".cc", ".cpp", ".cxx", ".cu", ".cuh", ".h", ".hpp", ".hip"})
_DATA_PREP = re.compile(
    r"(?i)^(prepare|prep|cached|download|tokeni[sz]|build_(data|tok|vocab|shard|caseops)|make_(data|tok|shard)|"
    r"retokeni[sz]|create_(data|tok)|export_(data|shard)|train_(tok|sp|sentencepiece|bpe)|convert_(data|shard)|"
    r"lossless_caps|data_|hf_|upload|fetch)"
)
_IMPORT_TEXT = re.compile(r"(?m)^[ \t]*(?:from[ \t]+(\.*[\w.]*)[ \t]+import|import[ \t]+([\w., \t]+))")
_FILE_NAME = re.compile(r"(?<![\w./-])[\w./-]{1,200}\.(?:py|cc|cpp|cxx|cuh|cu|hpp|hip|c|h)\b")


def roles(entry: str, texts: dict[str, str]) -> dict[str, Role]:
    """Role of every file of ``texts`` (path to decoded text) other than ``entry``."""
    if len(texts) == 1:
        return {}
    reached = reach(entry, texts)
    result: dict[str, Role] = {}
    for path in texts:
        if path == entry:
            continue
        native = PurePosixPath(path).suffix.lower() in NATIVE_SUFFIXES
        if path in reached:
            result[path] = Role.NATIVE if native else Role.MODULE
        elif not native and _DATA_PREP.match(PurePosixPath(path).name):
            result[path] = Role.DATA_PREP
        else:
            result[path] = Role.OTHER
    return result


def reach(entry: str, texts: dict[str, str]) -> set[str]:
    """Paths that ``entry`` imports, loads or compiles, directly or not."""
    found: set[str] = set()
    todo = [entry]
    while todo:
        path = todo.pop()
        for target in _targets(path, texts, path == entry):
            if target not in found and target != entry:
                found.add(target)
                todo.append(target)
    return found


def _targets(path: str, texts: dict[str, str], main: bool) -> Iterator[str]:
    if PurePosixPath(path).suffix.lower() in NATIVE_SUFFIXES:
        for name in re.findall(r'#\s*include\s*"([^"]+)"', texts[path]):
            yield from _named(path, name, texts)
        return
    modules, files = _mentions(texts[path])
    for level, module in modules:
        yield from _module(path, level, module, texts)
    for name in files:
        native = PurePosixPath(name).suffix.lower() in NATIVE_SUFFIXES
        if native or (main and not _DATA_PREP.match(PurePosixPath(name).name)):
            yield from _named(path, name, texts, python=not native)


def _mentions(text: str) -> tuple[set[tuple[int, str]], set[str]]:
    """Imported modules as (level, dotted name), and file names in strings; by text when it does not parse."""
    tree = parse_python(text).tree
    if tree is None:
        names = {n for a, b in _IMPORT_TEXT.findall(text) for n in (a, *re.split(r"[,\s]+", b)) if n}
        return {(len(n) - len(n.lstrip(".")), n.lstrip(".")) for n in names}, set(_FILE_NAME.findall(text))
    modules: set[tuple[int, str]] = set()
    files: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            modules.add((node.level, base))
            modules.update((node.level, f"{base}.{alias.name}".lstrip(".")) for alias in node.names)
        elif isinstance(node, ast.Call):
            modules.update((0, name) for name in _dynamic(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 300:
            files.update(_FILE_NAME.findall(node.value))
    return modules, files


def _dynamic(node: ast.Call) -> Iterable[str]:
    """Names given to ``importlib.import_module``, ``__import__`` and ``runpy.run_module`` as constants."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in ("import_module", "__import__", "run_module") and node.args:
        first = node.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


def _module(path: str, level: int, name: str, texts: dict[str, str]) -> Iterator[str]:
    folder = PurePosixPath(path.rpartition("!/")[0] or path).parent
    for _ in range(max(level - 1, 0)):
        folder = folder.parent
    inside = name.replace(".", "/")
    if not inside and level == 0:
        return
    bases = [folder] if level else [folder, PurePosixPath(".")]
    for base in bases:
        stem = str(base / inside) if inside else str(base)
        for candidate in (f"{stem}.py", f"{stem}/__init__.py"):
            if candidate in texts:
                yield candidate
    last = f"!/{inside}.py"
    yield from (p for p in texts if p.endswith(last))


def _named(path: str, name: str, texts: dict[str, str], *, python: bool = False) -> Iterator[str]:
    """Files that a string names: beside the file first, else anywhere in the folder by base name."""
    folder = PurePosixPath(path.rpartition("!/")[0] or path).parent
    direct = str(folder / name)
    if direct in texts:
        yield direct
    elif not python:
        base = PurePosixPath(name).name
        yield from (p for p in texts if PurePosixPath(p.replace("!/", "/")).name == base)
