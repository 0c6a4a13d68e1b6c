"""The store of a sweep: one SQLite file, written one result at a time, so that a kill loses nothing that was told."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from auditor.sweep.layout import shown
from auditor.sweep.row import columns, result_rows
from auditor.sweep.types import Audited, Planned, Pull, SweepError

SCHEMA_VERSION = 1
_KIND = "golf-audit sweep"


@dataclass(frozen=True, slots=True)
class Todo:
    """A submission that is in the store: its row, and what the audit needs."""

    id: int
    ref: str
    head: str
    path: str
    content: str
    key: str | None
    error: str


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


class Store:
    """The store, open for one sweep. Raises `SweepError` for a file that is none, or that another sweep writes."""

    def __init__(self, path: Path) -> None:
        self._lock = lock(path)
        try:
            self.db = connect(path, create=True)
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Close the file; what was written stays."""
        self.db.close()
        os.close(self._lock)

    def begin(self, source: str, tool: str, edition: str, options: Mapping[str, Any]) -> int:
        """Note that a sweep began; its number."""
        with self.db:
            row = (source, tool, edition, json.dumps(options, sort_keys=True), now())
            names = "source, tool, edition, options, started"
            cursor = self.db.execute(f"INSERT INTO runs ({names}) VALUES (?,?,?,?,?)", row)
        return int(cursor.lastrowid or 0)

    def end(self, run: int, seconds: float, summary: Mapping[str, Any]) -> None:
        """Note that a sweep came to its end."""
        with self.db:
            row = (now(), seconds, json.dumps(summary), run)
            self.db.execute("UPDATE runs SET ended = ?, seconds = ?, summary = ? WHERE id = ?", row)

    def plan_keys(self) -> dict[str, str]:
        """ref -> under which key its pull request was looked at; failures are left out and so tried again."""
        return dict(self.db.execute("SELECT ref, plan_key FROM pulls WHERE state <> 'error'"))

    def planned(self, pull: Pull, plan: Planned, plan_key: str) -> None:
        """Put what a pull request adds; of its folders only those that changed lose their audit."""
        state = "submissions" if plan.folders else "none"
        with self.db:
            self._pull(pull, plan, state, plan_key)
            (row,) = self.db.execute("SELECT id FROM pulls WHERE ref = ?", (pull.ref,)).fetchone()
            had = {path: (i, content) for i, path, content in self.db.execute(
                "SELECT id, path, content FROM submissions WHERE pull = ?", (row,))}  # fmt: skip
            now_there = {f.path: f.content for f in plan.folders}
            gone = [i for path, (i, content) in had.items() if now_there.get(path) != content]
            self._drop(gone)
            self.db.executemany(
                "INSERT INTO submissions (pull, path, content) VALUES (?,?,?)",
                [(row, p, c) for p, c in now_there.items() if had.get(p, (0, ""))[1] != c],
            )

    def unplanned(self, pull: Pull, reason: str) -> None:
        """Put a pull request that could not be looked at; what was known of it holds no more."""
        with self.db:
            self._pull(pull, Planned(note=reason), "error", "")
            self.db.execute("DELETE FROM submissions WHERE pull = (SELECT id FROM pulls WHERE ref = ?)", (pull.ref,))

    def todos(self, refs: Iterable[str]) -> list[Todo]:
        """The submissions of these pull requests, in the order of their numbers."""
        wanted = set(refs)
        rows = self.db.execute(
            "SELECT s.id, p.ref, p.head, s.path, s.content, s.key, s.error"
            " FROM submissions s JOIN pulls p ON p.id = s.pull WHERE p.state = 'submissions'"
            " ORDER BY p.number IS NULL, p.number, p.ref, s.path"
        )
        return [todo for row in rows if (todo := Todo(*row)).ref in wanted]

    def audited(self, submission: int, key: str, result: Audited) -> None:
        """Put one audit's result, whole or not at all."""
        fields = columns(result) | {"key": key, "audited": now(), "same_as": None}
        with self.db:
            self._put(submission, fields)
            self.db.executemany(
                "INSERT INTO results VALUES (?,?,?,?,?,?,?)", [(submission, *r) for r in result_rows(result.report)]
            )

    def shared(self, submission: int, other: int, key: str) -> None:
        """Give a submission the report of another of the same path and content."""
        names = ("name, author, track, date, stated_bpb, verdict, reason, complete, record_ready, error, report, facts,"
                 " program")  # fmt: skip
        with self.db:
            row = self.db.execute(f"SELECT {names} FROM submissions WHERE id = ?", (other,)).fetchone()
            fields = dict(zip(names.replace(" ", "").split(","), row, strict=True))
            cost = {"seconds": 0.0, "cpu_seconds": 0.0, "peak_bytes": 0}
            self._put(submission, fields | cost | {"key": key, "audited": now(), "same_as": other})
            self.db.execute(
                "INSERT INTO results SELECT ?, rule, witness, outcome, confidence, findings, suppressed FROM results"
                " WHERE submission = ?", (submission, other),
            )  # fmt: skip

    def by_key(self) -> dict[str, int]:
        """key -> a submission audited under it with a report of its own."""
        rows = "SELECT key, id FROM submissions WHERE key IS NOT NULL AND error = '' AND same_as IS NULL"
        return dict(self.db.execute(rows))

    def put_lineage(self, rows: Iterable[tuple[int, int | None, float, int, str, str, str]]) -> None:
        """Replace the table of lineage."""
        with self.db:
            self.db.execute("DELETE FROM lineage")
            self.db.executemany("INSERT INTO lineage VALUES (?,?,?,?,?,?,?)", rows)

    def _pull(self, pull: Pull, plan: Planned, state: str, plan_key: str) -> None:
        fields = {
            "ref": pull.ref, "number": pull.number, "head": pull.head, "base": plan.base, "author": plan.author,
            "title": plan.title, "date": plan.date, "state": state, "note": plan.note, "plan_key": plan_key,
        }  # fmt: skip
        update = ", ".join(f"{name} = excluded.{name}" for name in fields)
        self.db.execute(
            f"INSERT INTO pulls ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))})"
            f" ON CONFLICT (ref) DO UPDATE SET {update}", _values(fields),
        )  # fmt: skip

    def _drop(self, submissions: list[int]) -> None:
        """Delete submissions. Who shares a report with one keeps it, as its own."""
        self.db.executemany("DELETE FROM submissions WHERE id = ?", [(i,) for i in submissions])

    def _put(self, submission: int, fields: Mapping[str, Any]) -> None:
        names = ", ".join(f"{name} = ?" for name in fields)
        self.db.execute(f"UPDATE submissions SET {names} WHERE id = ?", (*_values(fields), submission))
        self.db.execute("DELETE FROM results WHERE submission = ?", (submission,))


def _values(fields: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of columns; SQLite refuses text that is no UTF-8, and no name of a file may end a sweep."""
    return tuple(shown(value) if isinstance(value, str) else value for value in fields.values())


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Open a store; ``create`` makes a new one where there is none. Raises `SweepError` for anything else."""
    if not create and not path.is_file():
        raise SweepError(f"{path}: there is no store of a sweep")
    try:
        db = sqlite3.connect(path if create else _read_only(path), uri=not create, timeout=30.0)
        try:
            _prepare(db, path, create)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise SweepError(f"{path} is no store of a sweep, or cannot be opened: {error}") from error
    return db


def _read_only(path: Path) -> str:
    """SQLite's address of a store that is only read. Where nothing can be written beside it, SQLite cannot keep the
    files by which it notices a writer; there is none then, unless his own file is there."""
    alone = not os.access(path.resolve().parent, os.W_OK) and not Path(f"{path.resolve()}-wal").exists()
    return f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"


def _prepare(db: sqlite3.Connection, path: Path, create: bool) -> None:
    db.execute("PRAGMA foreign_keys = ON")
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables and create:
        db.execute("PRAGMA journal_mode = WAL")
        text = resources.files("auditor.sweep").joinpath("schema.sql").read_text(encoding="utf-8")
        meta_rows = f"INSERT INTO meta VALUES ('kind', '{_KIND}'), ('schema', '{SCHEMA_VERSION}');"
        db.executescript(f"BEGIN; {text} {meta_rows} COMMIT;")
        return
    meta = dict(db.execute("SELECT key, value FROM meta")) if "meta" in tables else {}
    if meta.get("kind") != _KIND:
        raise SweepError(f"{path} is a database, but no store of a sweep")
    if meta.get("schema") != str(SCHEMA_VERSION):
        version = meta.get("schema")
        raise SweepError(f"{path} has the format {version}, this version reads {SCHEMA_VERSION}: make a new store")


def lock(path: Path) -> int:
    """A lock beside the store, held until its descriptor is closed. Raises `SweepError` when another sweep holds it."""
    try:
        handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise SweepError(f"{path} cannot be written: {error.strerror or error}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise SweepError(f"{path} is being written by another sweep") from None
    return handle


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A store opened to be read only, also while a sweep writes it. Raises `SweepError` for one that is damaged."""
    db = connect(path)
    db.row_factory = sqlite3.Row
    try:
        yield db
    except (sqlite3.DatabaseError, zlib.error) as error:
        raise SweepError(f"{path} cannot be read, it may be damaged: {error}") from error
    finally:
        db.close()


def unpacked(blob: bytes | None) -> Any:
    """The JSON value of a compressed column; None for none."""
    return None if blob is None else json.loads(zlib.decompress(blob))
