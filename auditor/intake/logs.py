"""Find and read training logs: which files are logs, their text without terminal noise, the seed of the run."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from auditor.core.submission import LogFile, Problem
from auditor.intake.texts import decode
from auditor.intake.walk import Folder

_LOG_SUFFIXES = {".log", ".out", ".stdout", ".err", ".stderr"}
_TEXT_SUFFIXES = {".txt", ".text", ".tee", ""}
_NOT_LOGS = re.compile(
    r"(?i)(requirements|readme|license|notes?$|constraints|vocab|merges|pip[-_]?freeze|packages|todo)"
)
_EVIDENCE = re.compile(
    r"step[: ]? ?\d{1,9} ?/ ?\d{1,9}|(?<!\d)\d{1,9}/\d{1,9} (?:train|val)_loss|"
    r"train_loss[:=]|val_bpb[:=]|val_loss[:=]|model_params|"
    r"train_time|Total submission size|stopping_early|warmup_step|world_size[:=]|bpb[:=]\s*\d",
    re.I,
)
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_SEED_NAME = re.compile(r"(?i)(?:seed|(?:^|[_\-.])s)[_\-=]?(\d{1,10})(?!\d)")
_SEED_TEXT = (
    re.compile(r"(?m)^[ \t]{0,40}seed ?[:=] ?(\d{1,10})[ \t]{0,40}$"),
    re.compile(r"(?m)(?:^|[\s,{(\[])['\"]?seed['\"]? ?[:=] ?(\d{1,10})(?![\d.])"),
    re.compile(r"(?m)\bSEED=['\"]?(\d{1,10})(?![\d.])"),
)


def read_logs(folder: Folder) -> tuple[LogFile, ...]:
    """All logs of ``folder`` in path order; reading problems go to the folder."""
    logs: list[LogFile] = []
    for path in sorted(folder.sizes, key=_order):
        if not _may_be_log(path) or folder.sizes[path] == 0:
            continue
        if len(logs) >= folder.limits.logs:
            folder.problem(path, f"not read: more than {folder.limits.logs} logs", unread=True)
            break
        log = _read_log(folder, path)
        if log is not None:
            logs.append(log)
    return tuple(sorted(logs, key=lambda log: log.path))


def clean(text: str) -> list[str]:
    """Lines without colour codes and NULs; a line that a progress bar overwrote with ``\\r`` keeps its last state."""
    text = _ANSI.sub("", text).replace("\0", "").replace("\r\n", "\n")
    return [line.rstrip("\r").rpartition("\r")[2] if "\r" in line else line for line in text.split("\n")]


def looks_like_log(text: str) -> bool:
    """At least two lines of the kind that training scripts print."""
    return len(_EVIDENCE.findall(text[:400_000], 0)) >= 2 or len(_EVIDENCE.findall(text[-100_000:])) >= 2


def seed_of(path: str, text: str) -> int | None:
    """The seed that the text states once at a line of its own, else the name's, else one inside a line."""
    values = {m.group(1) for m in _SEED_TEXT[0].finditer(text)}
    if len(values) == 1:
        return int(values.pop())
    named = _SEED_NAME.search(PurePosixPath(path).name)
    if named:
        return int(named.group(1))
    for pattern in _SEED_TEXT[1:]:
        values = {m.group(1) for m in pattern.finditer(text)}
        if len(values) == 1:
            return int(values.pop())
    parents = _SEED_NAME.search("/".join(PurePosixPath(path).parts[:-1]))
    return int(parents.group(1)) if parents else None


def _order(path: str) -> tuple[int, str]:
    """Shallow files first, so that a limit cuts the nested ones."""
    return path.count("/"), path


def _may_be_log(path: str) -> bool:
    name = PurePosixPath(path)
    if name.name.startswith("."):
        return False
    suffix = name.suffix.lower()
    if suffix in _LOG_SUFFIXES:
        return True
    if suffix == ".txt" or (suffix in _TEXT_SUFFIXES and ("log" in path.lower() or "out" in name.name.lower())):
        return not _NOT_LOGS.search(name.stem)
    return bool(re.search(r"(?i)\.(log|out)[._-]?\w{0,12}$", name.name)) and suffix not in {
        ".py",
        ".json",
        ".gz",
        ".zst",
    }


def _read_log(folder: Folder, path: str) -> LogFile | None:
    limit = folder.limits.log_bytes
    data = folder.read(path, limit, cut=True)
    if data is None:
        return None
    text, problem = decode(data)
    if PurePosixPath(path).suffix.lower() not in _LOG_SUFFIXES and not looks_like_log(text):
        return None
    if data[:4000].count(b"\0") > 400 and problem is None:
        folder.problem(path, "not read: a binary file with the name of a log", unread=True)
        return None
    if problem:
        folder.problem(path, problem)
    cut = folder.sizes[path] > limit
    if cut:
        folder.problem(path, f"only the first {limit:,} of {folder.sizes[path]:,} bytes were read", unread=True)
    lines = clean(text)
    if lines and not lines[-1]:
        lines.pop()
    return LogFile(path, tuple(lines), folder.sha256(path), seed_of(path, _printed(lines)), cut)


def _printed(lines: list[str]) -> str:
    """The log without the script's own source, which baseline logs print before a line of ``=`` signs."""
    for number, line in enumerate(lines[:6_000]):
        if line.startswith("=" * 60):
            return "\n".join(lines[number + 1:])
    return "\n".join(lines)


__all__ = ["LogFile", "Problem", "clean", "looks_like_log", "read_logs", "seed_of"]
