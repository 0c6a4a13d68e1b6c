"""Which file is the script that the launch starts, also behind shims that only load another one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from auditor.core.submission import JsonDoc
from auditor.intake.unpack import Unpacked

MAX_HOPS = 5
_TRAINING = re.compile(r"\.backward\s*\(|optimizer|val_bpb|DistributedDataParallel|nn\.Module|value_and_grad")
_NOT_ENTRY = re.compile(
    r"(?i)^(test_|.*_test\.py|conftest|setup\.py|prepare|cached_|download|tokeni[sz]|build_|plot|analy[sz]|make_|"
    r"verify|check_|smoke|bench|pack_|compress|golfer|minify|upload|__init__|requirements|lossless_caps|fetch)"
)
_LAUNCHER = re.compile(r"^[`$>(\"']*(?:\S{0,200}/)?(?:torchrun|python[\d.]*|accelerate)$")
_SCRIPT = re.compile(r"^['\"`]?([\w./-]{1,300}\.py)(?![\w])")


@dataclass
class Entry:
    """The entry's path, how it was found, and the notes that led there."""

    path: str | None
    shims: list[str] = field(default_factory=list)
    """Files that only load the entry, in the order of loading."""
    notes: list[tuple[str, str]] = field(default_factory=list)


def find_entry(
    texts: dict[str, str], unpacked: Callable[[str], Unpacked], metadata: JsonDoc | None, shell: dict[str, str],
    readme: str | None,
) -> Entry:
    """The entry among the Python files ``texts``; ``shell`` are run scripts by path."""
    python = {p: t for p, t in texts.items() if p.endswith(".py")}
    started = _started(metadata, shell, readme)
    for path in _candidates(python, started):
        entry = _follow(path, python, unpacked)
        if entry.path is not None and python[entry.path].strip():
            return entry
    empty = next((p for p in python if PurePosixPath(p).name == "train_gpt.py"), None)
    if empty is not None:
        return Entry(empty, notes=[(empty, "the script is empty and no other training script was found")])
    return Entry(None)


def _candidates(python: dict[str, str], started: list[str]) -> list[str]:
    """Paths from the most to the least likely."""
    order: list[str] = []

    def add(paths: list[str]) -> None:
        order.extend(p for p in paths if p in python and p not in order)

    named = [p for s in started for p in _matching(s, python)]
    full = {p for p, t in python.items() if t.strip()}
    add([p for p in ("train_gpt.py",) if p in full])
    add([p for p in named if p in full and not _NOT_ENTRY.match(PurePosixPath(p).name)])
    rest = sorted(full, key=lambda p: (p.count("/"), -len(python[p]), p))
    plain = [p for p in rest if not _NOT_ENTRY.match(PurePosixPath(p).name)]
    add([p for p in plain if PurePosixPath(p).name == "train_gpt.py"])
    add([p for p in plain if PurePosixPath(p).name.startswith("train_gpt")])
    add([p for p in plain if PurePosixPath(p).name.startswith("train") and _trains(python[p])])
    add([p for p in plain if PurePosixPath(p).stem in ("submission", "main", "run", "solution", "train", "launch")])
    add([p for p in plain if _trains(python[p])])
    if len(full) == 1:
        add(list(full))
    return order


def _trains(text: str) -> bool:
    return len(set(_TRAINING.findall(text))) >= 2


def _matching(name: str, python: dict[str, str]) -> list[str]:
    """Files that a command's script name means: by its path's end, then by its base name."""
    name = name.lstrip("./")
    exact = [p for p in python if p == name or name.endswith("/" + p)]
    return exact or sorted(
        (p for p in python if PurePosixPath(p).name == PurePosixPath(name).name), key=lambda p: p.count("/")
    )


def _started(metadata: JsonDoc | None, shell: dict[str, str], readme: str | None) -> list[str]:
    """Scripts that run scripts, the README and submission.json start, most explicit first."""
    texts = [*shell.values(), readme or ""]
    if metadata is not None and metadata.data is not None:
        for key in ("script", "entry", "entrypoint", "entry_point", "train_script", "main_script", "code_file"):
            value = metadata.data.get(key)
            if isinstance(value, str) and value.endswith(".py"):
                texts.insert(0, f"python {value}")
        texts.append(json.dumps(metadata.data, default=str).replace("\\n", "\n")[:200_000])
    found: list[str] = []
    for text in texts:
        for line in text[:400_000].replace("\\\n", " ").split("\n"):
            script = _started_by(line)
            if script is not None and script not in found and len(found) < 100:
                found.append(script)
    return found


def _started_by(line: str) -> str | None:
    """The first ``.py`` word after a launcher's name in a line."""
    launched = False
    for word in line.replace(";", " ; ").replace("|", " | ").replace("&&", " ; ").split():
        launched = bool(_LAUNCHER.match(word)) or (launched and word not in (";", "|"))
        script = _SCRIPT.match(word) if launched else None
        if script is not None:
            return script.group(1)
    return None


def _follow(path: str, python: dict[str, str], unpacked: Callable[[str], Unpacked]) -> Entry:
    """Step through shims to the file that holds the script."""
    entry = Entry(path)
    for _ in range(MAX_HOPS):
        assert entry.path is not None
        target = unpacked(entry.path).target or _import_shim(entry.path, python)
        if target is None or target not in python or target == entry.path or target in entry.shims:
            return entry
        entry.shims.append(entry.path)
        entry.notes.append((entry.path, f"only loads {target}, which is taken as the script"))
        entry.path = target
    return entry


_IMPORT_MAIN = re.compile(
    r"(?m)^\s*(?:from\s+([\w.]+)\s+import\s+(?:\*|.*\bmain\b.*|.*\btrain\b.*)|import\s+([\w.]+)(?:\s+as\s+(\w+))?\s*$)"
)


def _import_shim(path: str, python: dict[str, str]) -> str | None:
    """The sibling whose ``main`` a short file imports and calls (``from X import main; main()``)."""
    text = python[path]
    if len(text) > 3_000 or _trains(text):
        return None
    for match in _IMPORT_MAIN.finditer(text):
        module = match.group(1) or match.group(2)
        alias = match.group(3) or module
        target = str(PurePosixPath(path).parent / (module.lstrip(".").replace(".", "/") + ".py"))
        called = (
            re.search(rf"\b{re.escape(alias)}\.\w+\(", text)
            if match.group(2)
            else re.search(r"(?m)^\s*(?:\w+\.)?\w*(main|train|run)\w*\(|import \*", text)
        )
        if target in python and called:
            return target
    return None
