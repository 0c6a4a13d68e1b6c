"""Helpers that several test packages share: submissions built from plain dictionaries, without intake."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path

from auditor.core.submission import (
    JsonDoc,
    Launch,
    LogFile,
    Role,
    Setting,
    ShippedFile,
    SourceFile,
    Submission,
)
from auditor.core.types import Place

_DATA_PREP = ("prepare_", "download_", "cached_challenge")


def heeds_interrupts() -> None:
    """For a child process: interrupts count again, where whoever started the tests in the background ignores them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def make_submission(
    files: dict[str, str | bytes],
    *,
    track: str | None = "track_10min_16mb",
    env: dict[str, str] | None = None,
    world_size: int | None = None,
    name: str = "2026-04-01_Example",
    root: Path | None = None,
    outside_files: tuple[str, ...] = (),
) -> Submission:
    """A `Submission` from path -> text, by the plainest reading of the names.

    ``train_gpt.py`` (else the first ``train*.py``) is the entry, other ``.py`` files are modules (``prepare_*`` data
    preparation), ``.c/.cpp/.cu`` native, ``*.log`` and ``*.txt`` logs (not ``requirements.txt``), ``submission.json``
    the metadata, ``README.md`` the readme. Nothing is written to disk; bytes values count as shipped files only.
    """
    texts = {path: text for path, text in files.items() if isinstance(text, str)}
    entry_path = _entry_path(texts)
    sources = [_source(path, text, entry_path) for path, text in texts.items() if _is_source(path)]
    logs = tuple(_log(p, t) for p, t in texts.items() if p.endswith((".log", ".txt")) and "requirements" not in p)
    readme = next((p for p in texts if p.lower().endswith("readme.md")), None)
    settings = {
        key: Setting(name=key, value=value, origin=Place(file="run.sh", line=1), how="run_script")
        for key, value in (env or {}).items()
    }
    return Submission(
        root=root or Path("records") / (track or "unknown") / name,
        name=name,
        track=track,
        files=tuple(ShippedFile(p, len(_bytes(t)), hashlib.sha256(_bytes(t)).hexdigest()) for p, t in files.items()),
        entry=next((s for s in sources if s.role is Role.ENTRY), None),
        modules=tuple(s for s in sources if s.role is not Role.ENTRY),
        metadata=_metadata(texts),
        logs=logs,
        readme=texts.get(readme) if readme else None,
        readme_path=readme,
        launch=Launch(env=settings, world_size=world_size),
        outside_files=outside_files,
    )


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _is_source(path: str) -> bool:
    return path.endswith((".py", ".c", ".cpp", ".cu"))


def _entry_path(texts: dict[str, str]) -> str | None:
    if "train_gpt.py" in texts:
        return "train_gpt.py"
    return next((p for p in sorted(texts) if p.endswith(".py") and p.rpartition("/")[2].startswith("train")), None)


def _source(path: str, text: str, entry: str | None) -> SourceFile:
    if path == entry:
        role = Role.ENTRY
    elif not path.endswith(".py"):
        role = Role.NATIVE
    elif path.rpartition("/")[2].startswith(_DATA_PREP):
        role = Role.DATA_PREP
    else:
        role = Role.MODULE
    raw = text.encode()
    return SourceFile(path, text, role, len(raw), hashlib.sha256(raw).hexdigest(), shipped_text=text)


def _log(path: str, text: str) -> LogFile:
    digits = "".join(c if c.isdigit() else " " for c in path).split()
    seed = int(digits[-1]) if "seed" in path and digits else None
    return LogFile(path, tuple(text.splitlines()), hashlib.sha256(text.encode()).hexdigest(), seed)


def _metadata(texts: dict[str, str]) -> JsonDoc | None:
    raw = texts.get("submission.json")
    if raw is None:
        return None
    problems: tuple[tuple[int, str], ...] = ()
    data = None
    try:
        loaded = json.loads(raw)
        data = loaded if isinstance(loaded, dict) else None
        problems = () if data is not None else ((1, "not an object"),)
    except json.JSONDecodeError as error:
        problems = ((error.lineno, error.msg),)
    lines = {
        key: number
        for key in (data or {})
        for number, line in reversed(list(enumerate(raw.splitlines(), 1)))
        if f'"{key}"' in line
    }
    return JsonDoc("submission.json", raw, data, problems, lines)
