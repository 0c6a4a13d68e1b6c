"""The record of a re-run on disk: JSON lines that another machine reads again, and beside them the raw logs.

``record.jsonl`` is only ever appended to: a ``head`` for each invocation, a ``seed`` for each seed that ended, and a
``note``, ``setup_error`` or ``harness_error`` where there is one. A last line that a crash cut off is left out.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import typing
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import IO, Any

from auditor.rerun.facts import RerunRecord, SeedEnd, SeedRun

SCHEMA = 1
NAME = "record.jsonl"
MAX_BYTES = 64 << 20


class RecordError(ValueError):
    """A folder that holds no record, or one that cannot be read; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What two invocations must have in common to continue one record."""

    script_sha256: str
    code_sha256: str
    """Of all source files that the run can load."""
    settings: tuple[tuple[str, str], ...]
    processes: int
    toy: bool
    data: str = ""
    """Digest of the shards that were checked."""
    gpus: tuple[str, ...] = ()
    """A record whose seeds ran on different machines would be of none of them."""


class Busy(ValueError):
    """Another harness writes this record; one sentence."""


def open_own(path: Path, mode: str, encoding: str | None = None) -> IO[Any]:
    """A file of the record's folder. No link is followed, no pipe waited for: `RecordError` where it is either.

    A record may come from another machine; what it names must not lead out of its folder.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)

    try:
        file = open(path, mode, encoding=encoding, opener=opener)  # noqa: SIM115 (the caller closes it)
    except OSError as error:
        if os.path.lexists(path) and not os.path.isdir(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            raise RecordError(f"{path} is no regular file") from error
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise RecordError(f"{path} is no regular file")
    return file


class Writer:
    """Appends to the record in ``folder``; each line reaches the disk before the call returns."""

    def __init__(self, folder: Path) -> None:
        """Make the folder; a line that a crash cut off is ended.

        Raises `Busy`, `RecordError` where the record is no regular file, and OSError when it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._file = open_own(folder / NAME, "ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gone with the process that holds it
        except BlockingIOError as error:
            self._file.close()
            raise Busy(f"{folder} is in use by another golf-audit rerun") from error
        if self._file.tell() and (folder / NAME).read_bytes()[-1:] != b"\n":
            self._file.write(b"\n")

    def write(self, event: str, **values: Any) -> None:
        """One line."""
        self._file.write(json.dumps({"event": event, **values}, ensure_ascii=True).encode("ascii") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def head(self, record: RerunRecord, identity: Identity, plan: dict[str, Any]) -> None:
        """Begin an invocation."""
        values = {k: v for k, v in asdict(record).items() if k not in ("seeds", "folder")}
        self.write("head", schema=SCHEMA, record=values, identity=asdict(identity), plan=plan)

    def seed(self, run: SeedRun) -> None:
        """A seed ended."""
        self.write("seed", run=asdict(run))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(folder: Path) -> RerunRecord:
    """The record in ``folder``: the last invocation's head, every finished run, and of other seeds the last run.

    Raises:
        RecordError: there is none, or it is not what this tool writes.
    """
    record: RerunRecord | None = None
    runs: list[SeedRun] = []
    notes: list[str] = []
    for number, line in _lines(folder):
        try:
            if line["event"] == "head":
                if line["schema"] != SCHEMA:
                    raise ValueError(f"its form is {line['schema']!r}, this tool reads {SCHEMA}")
                record = build(RerunRecord, {**line["record"], "setup_error": "", "harness_error": ""})
                notes = list(record.notes)
            elif line["event"] == "seed":
                runs.append(build(SeedRun, line["run"]))
            elif line["event"] == "torch" and record is not None:
                record = replace(record, hardware=replace(record.hardware, torch=str(line["version"])))
            elif line["event"] == "note":
                notes.append(str(line["text"]))
            elif line["event"] in ("setup_error", "harness_error") and record is not None:
                record = _failed(record, line["event"], str(line["text"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RecordError(f"{folder / NAME}, line {number}: not of a re-run's record ({error!r})") from error
    if record is None:
        raise RecordError(f"{folder / NAME} has no head")
    order = {seed: place for place, seed in reversed(list(enumerate(record.asked_seeds)))}
    kept = sorted(latest(runs), key=lambda r: len(order) if r.seed is None else order.get(r.seed, len(order)))
    return replace(record, seeds=tuple(kept), folder=str(folder), notes=tuple(dict.fromkeys(notes)))


def latest(runs: Sequence[SeedRun]) -> list[SeedRun]:
    """Finished runs all (a seed may run twice); of a seed that never finished the last run alone."""
    finished = {run.seed for run in runs if run.end is SeedEnd.FINISHED}
    last = {run.seed: run for run in runs}
    return [r for r in runs if r.end is SeedEnd.FINISHED or (r.seed not in finished and last[r.seed] is r)]


def identity_of(folder: Path) -> Identity | None:
    """What the record in ``folder`` is of; None where there is none yet. Raises `RecordError`."""
    if not (folder / NAME).exists():
        return None
    heads = [line for _, line in _lines(folder) if line.get("event") == "head"]
    if not heads:
        return None
    try:
        made: Identity = build(Identity, heads[-1]["identity"])
        return made
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{folder / NAME}: a head without what it is of") from error


def _failed(record: RerunRecord, event: str, text: str) -> RerunRecord:
    if event == "setup_error":
        return replace(record, setup_error=text)
    return replace(record, harness_error=text)


def _lines(folder: Path) -> list[tuple[int, dict[str, Any]]]:
    path = folder / NAME
    try:
        with open_own(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise RecordError(f"{path} has more than {MAX_BYTES >> 20} MiB")
    found = []
    for number, text in enumerate(data.split(b"\n"), 1):
        try:
            line = json.loads(text) if text.strip() else None
        except (ValueError, RecursionError):
            continue  # cut off by a crash, of the harness or of the machine: what it said is not known
        if isinstance(line, dict) and isinstance(line.get("event"), str):
            found.append((number, line))
    return found


def build(kind: type[Any], values: Any) -> Any:
    """A dataclass of this package from what JSON made of it. TypeError or ValueError when it does not fit."""
    if not isinstance(values, dict):
        raise TypeError(f"{kind.__name__} is no object")
    hints = typing.get_type_hints(kind)
    known = {f.name for f in fields(kind)}
    return kind(**{name: _value(hints[name], value) for name, value in values.items() if name in known})


def _value(hint: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        if value is None and type(None) in arguments:
            return None
        return _value(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError(f"{value!r} is no list")
        each = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_value(one, item) for one, item in zip(each, value, strict=True))
    if is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(value)
    if hint is float and type(value) is int:
        return float(value)
    if isinstance(hint, type) and type(value) is not hint:
        raise TypeError(f"{value!r} is no {hint.__name__}")
    return value
