"""The store: one transaction a result, one writer, only its own format."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from auditor.sweep.row import stated_bpb
from auditor.sweep.store import SCHEMA_VERSION, Store, connect, reading, unpacked
from auditor.sweep.types import Audited, Folder, Planned, Pull, SweepError

PULL = Pull("refs/pull/7/head", "a" * 40, 7)


def report(verdict: str = "non_compliant", **more: Any) -> dict[str, Any]:
    return {
        "verdict": verdict, "verdict_reason": "why", "complete": False, "record_ready": {"ready": None, "reasons": []},
        "submission": {"path": "records/track_a/2026-04-02_X", "track": "track_a"}, "claims": [],
        "results": [
            {"rule": "slot", "witness": "source", "outcome": "found", "findings": [
                {"confidence": "low"}, {"confidence": "high"}]},
            {"rule": "format", "witness": "record", "outcome": "clear", "findings": []},
        ],
    } | more  # fmt: skip


def filled(path: Path) -> Store:
    store = Store(path)
    store.planned(PULL, Planned("b", "Ada", "Title", "2026", (Folder("p/one", "c1"), Folder("p/two", "c2"))), "plan")
    return store


def test_a_result_is_kept_with_its_columns_and_can_be_read_back(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    one, _ = store.todos([PULL.ref])
    facts = {"program": "p", "functions": {}, "stated": {"name": "N", "author": "A\ud800", "val_bpb": 1.5}}
    store.audited(one.id, "k", Audited(report(), "", 1.5, 1.0, 99, facts))
    store.close()
    with reading(tmp_path / "a.db") as db:
        row = db.execute("SELECT * FROM submissions WHERE id = ?", (one.id,)).fetchone()
        assert (row["verdict"], row["track"], row["date"]) == ("non_compliant", "track_a", "2026-04-02")
        assert row["stated_bpb"] == 1.5
        assert (row["key"], row["peak_bytes"], row["complete"], row["record_ready"]) == ("k", 99, 0, None)
        assert unpacked(row["report"]) == report() and row["name"] == "N" and row["author"] == "A\\ud800"
        (found,) = db.execute("SELECT * FROM results").fetchall()
        assert tuple(found) == (one.id, "slot", "source", "found", "high", 2, 0)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("DELETE FROM submissions")


def test_text_that_is_no_utf_8_ends_no_sweep(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    store.planned(Pull("r", "h", 1), Planned(note="\udcff", title="\udcff", author="\udcff"), "k")
    one, _ = store.todos([PULL.ref])
    store.audited(one.id, "k", Audited(report(verdict_reason="unread: \udcff.py")))
    assert store.db.execute("SELECT reason FROM submissions WHERE id = ?", (one.id,)).fetchone() == (
        "unread: \\udcff.py",
    )
    store.close()


def test_an_error_is_a_result_without_a_verdict(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    one, _ = store.todos([PULL.ref])
    store.audited(one.id, "k", Audited(error="it hung"))
    assert [t.error for t in store.todos([PULL.ref])] == ["it hung", ""]
    assert store.by_key() == {}, "nobody shares an error"
    row = store.db.execute("SELECT verdict, report FROM submissions WHERE id = ?", (one.id,)).fetchone()
    assert row == (None, None)
    store.close()


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    one, _ = store.todos([PULL.ref])
    broken = report()
    broken["results"].append({"rule": None, "witness": "source", "outcome": "found", "findings": []})
    with pytest.raises(sqlite3.IntegrityError):
        store.audited(one.id, "k", Audited(broken))
    assert store.db.execute("SELECT count(*) FROM results").fetchone() == (0,)
    assert store.todos([PULL.ref])[0].key is None
    store.close()


def test_only_folders_that_changed_lose_their_audit(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    for todo in store.todos([PULL.ref]):
        store.audited(todo.id, "k" + todo.content, Audited(report()))
    store.planned(PULL, Planned(folders=(Folder("p/one", "c1"), Folder("p/two", "new"), Folder("p/three", "c3"))), "x")
    assert {t.path: t.key for t in store.todos([PULL.ref])} == {"p/one": "kc1", "p/two": None, "p/three": None}
    assert store.db.execute("SELECT count(*) FROM results").fetchone() == (1,)
    store.close()


def test_a_shared_report_stays_when_its_first_owner_goes(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    one, two = store.todos([PULL.ref])
    store.audited(one.id, "k", Audited(report(), seconds=3.0))
    store.shared(two.id, one.id, "k")
    row = "SELECT verdict, same_as, seconds FROM submissions WHERE id = ?"
    assert store.db.execute(row, (two.id,)).fetchone() == ("non_compliant", one.id, 0.0)
    assert store.db.execute("SELECT count(*) FROM results WHERE submission = ?", (two.id,)).fetchone() == (1,)
    store.planned(PULL, Planned(folders=(Folder("p/two", "c2"),)), "x")
    assert store.db.execute(row, (two.id,)).fetchone() == ("non_compliant", None, 0.0)
    store.close()


def test_pull_requests_that_could_not_be_read_are_looked_at_again(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    store.unplanned(Pull("refs/pull/8/head", "c" * 40, 8), "damaged")
    assert store.plan_keys() == {PULL.ref: "plan"}
    store.unplanned(PULL, "damaged")
    assert store.plan_keys() == {}
    assert store.db.execute("SELECT count(*) FROM submissions").fetchone() == (0,), "no verdict of an older head"
    store.close()


def test_one_sweep_at_a_time(tmp_path: Path) -> None:
    store = filled(tmp_path / "a.db")
    with pytest.raises(SweepError, match="another sweep"):
        Store(tmp_path / "a.db")
    with reading(tmp_path / "a.db") as db:
        assert db.execute("SELECT count(*) FROM pulls").fetchone()[0] == 1
    store.close()
    Store(tmp_path / "a.db").close()


def test_files_that_are_no_store_are_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("no database, but long enough to be one " * 100)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE mine (x)")
    other.commit()
    other.close()
    before = text.read_bytes(), (tmp_path / "other.db").read_bytes()
    for name in ("text.db", "other.db"):
        with pytest.raises(SweepError, match="no store"):
            Store(tmp_path / name)
        with pytest.raises(SweepError, match="no store"):
            connect(tmp_path / name)
    assert (text.read_bytes(), (tmp_path / "other.db").read_bytes()) == before
    with pytest.raises(SweepError, match="there is no store"):
        connect(tmp_path / "absent.db")
    with pytest.raises(SweepError, match="cannot be written"):
        Store(tmp_path / "no" / "folder.db")


def test_a_damaged_store_is_told_in_a_sentence(tmp_path: Path) -> None:
    filled(tmp_path / "a.db").close()
    with pytest.raises(SweepError, match="cannot be read, it may be damaged"), reading(tmp_path / "a.db"):
        unpacked(b"no zlib")
    data = (tmp_path / "a.db").read_bytes()
    (tmp_path / "b.db").write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    with pytest.raises(SweepError, match=r"no store|be read"), reading(tmp_path / "b.db") as db:
        db.execute("SELECT * FROM pulls").fetchall()


def test_a_store_is_read_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "a.db").close()
    monkeypatch.setattr("auditor.sweep.store.os.access", lambda path, mode: False)
    with reading(tmp_path / "a.db") as db:
        assert db.execute("SELECT count(*) FROM pulls").fetchone()[0] == 1
        assert not list(tmp_path.glob("*-shm")), "nothing is written beside it"


def test_another_format_is_refused_by_its_number(tmp_path: Path) -> None:
    Store(tmp_path / "a.db").close()
    db = sqlite3.connect(tmp_path / "a.db")
    db.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    db.commit()
    db.close()
    with pytest.raises(SweepError, match=f"format 99, this version reads {SCHEMA_VERSION}"):
        Store(tmp_path / "a.db")


@pytest.mark.parametrize(
    ("claim", "stated", "score"),
    [(1.1, 1.2, 1.1), ("pending", 1.2, 1.2), (None, None, None), (float("nan"), None, None), (10**400, 1.2, 1.2)],
)
def test_the_stated_score_is_a_number_or_nothing(claim: Any, stated: Any, score: float | None) -> None:
    told = report(claims=[{"kind": "bytes_total", "stated": 5}, {"kind": "val_bpb", "stated": claim}])
    assert stated_bpb(told, {"val_bpb": stated}) == score
