"""``golf-audit sweep`` as users start it: results, wrong usage, Ctrl-C, kill -9 and what comes after."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from auditor import engine
from auditor.report.json import document
from tests.support import heeds_interrupts
from tests.sweep.repos import TRACK, Repository, git, submission, under
from tests.sweep.test_child import ends

ROOT = Path(__file__).resolve().parents[2]
COUNT = 14


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository.at(tmp_path_factory.mktemp("sweep") / "contest.git")
    for number in range(1, COUNT + 1):
        script = f"SEED = {number}\n" + submission()["train_gpt.py"]
        made.pull(number, under(f"{TRACK}/2026-04-{number:02}_S", submission(script)))
    twin = submission("SEED = 1\n" + submission()["train_gpt.py"])
    made.pull(COUNT + 1, under(f"{TRACK}/2026-04-01_S", twin), message="The first one's twin")
    made.pull(COUNT + 2, {"README.md": "only words\n"})
    return made


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "auditor.cli", "sweep", *arguments]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **more}


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, check=False, cwd=cwd, timeout=300
    )


def counted(store: Path) -> int:
    """Submissions with a result, while a sweep may be writing."""
    try:
        with sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM submissions WHERE key IS NOT NULL").fetchone()[0])
    except sqlite3.Error:
        return 0


def started(repository: Repository, store: Path, least: int, **env: str) -> subprocess.Popen[str]:
    """A sweep that has told of ``least`` submissions and is not at its end."""
    process = subprocess.Popen(
        command(str(repository.path), "--no-probe", "--store", str(store), "--jobs", "2"), env=environment(**env),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heeds_interrupts,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while counted(store) < least and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None and least <= counted(store) < COUNT, process.stderr
    return process


def workers_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


@pytest.mark.slow
def test_a_sweep_then_nothing_to_do_then_one_new_head(repository: Repository, tmp_path: Path) -> None:
    store = str(tmp_path / "a.db")
    first = run(str(repository.path), "--no-probe", "--store", store, "--format", "json")
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert told["pull_requests"] == {
        "all": COUNT + 2, "with_submissions": COUNT + 1, "without": 1, "not_read": 0, "looked_at_now": COUNT + 2,
        "others_in_the_store": 0,
    }  # fmt: skip
    assert told["submissions"]["audited_now"] == COUNT and told["submissions"]["shared_now"] == 1
    assert sum(told["verdicts"].values()) == COUNT + 1 and told["errors"] == []
    assert told["peak_bytes"]["one_audit"] > 20 << 20 and told["seconds"] > 0
    assert f"auditing: {COUNT + 1} of {COUNT + 1}" in first.stderr and "left" in first.stderr

    again = run(str(repository.path), "--no-probe", "--store", store)
    assert again.returncode == 0 and f"{COUNT + 1} were up to date" in " ".join(again.stdout.split())
    assert "0 audited now" in again.stdout and "non_compliant" in again.stdout

    old = repository.heads["refs/pull/3/head"]
    repository.pull(3, under(f"{TRACK}/2026-04-03_S", submission("x = 3\n")), message="A new head")
    try:
        third = json.loads(run(str(repository.path), "--no-probe", "--store", store, "--format", "json").stdout)
    finally:
        git(repository.path, "update-ref", "refs/pull/3/head", old)
    assert third["pull_requests"]["looked_at_now"] == 1 and third["submissions"]["audited_now"] == 1


@pytest.mark.slow
def test_kill_9_in_the_middle_and_resume(repository: Repository, tmp_path: Path) -> None:
    store, scratch = tmp_path / "a.db", tmp_path / "scratch"
    scratch.mkdir()
    process = started(repository, store, 3, TMPDIR=str(scratch))
    workers = workers_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(workers) >= 2 and all(ends(pid) for pid in workers)
    deadline = time.monotonic() + 5
    while list(scratch.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(scratch.iterdir()), "scratch folders are removed"
    kept = counted(store)
    with sqlite3.connect(store) as db:
        before = db.execute("SELECT id, key, audited, report FROM submissions WHERE key IS NOT NULL").fetchall()
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    told = json.loads(run(str(repository.path), "--no-probe", "--store", str(store), "--format", "json").stdout)
    assert told["submissions"]["up_to_date"] == kept
    assert told["submissions"]["audited_now"] + told["submissions"]["shared_now"] + kept == COUNT + 1
    with sqlite3.connect(store) as db:
        rows = db.execute("SELECT id, key, audited, report FROM submissions").fetchall()
        paths = db.execute("SELECT count(DISTINCT pull || path), count(*) FROM submissions").fetchone()
    assert set(before) <= set(rows), "what was told is as it was"
    assert paths == (COUNT + 1, COUNT + 1) and all(key for _, key, _, _ in rows)


@pytest.mark.slow
def test_ctrl_c_ends_at_once_with_a_whole_store(repository: Repository, tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    process = started(repository, store, 2)
    workers = workers_of(process.pid)
    start = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and time.monotonic() - start < 5
    assert "interrupted" in errors and "Traceback" not in errors
    assert all(ends(pid) for pid in workers)
    with sqlite3.connect(store) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT ended FROM runs").fetchall() == [(None,)]
    assert 2 <= counted(store) < COUNT


@pytest.mark.slow
def test_the_report_is_that_of_a_checkout(repository: Repository, tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    refs = "refs/pull/2/head"
    done = run(str(repository.path), "--refs", refs, "--no-probe", "--store", str(store), "--format", "json")
    assert done.returncode == 0, done.stderr
    subprocess.run(["git", "clone", "-q", str(repository.path), str(tmp_path / "c")], check=True)
    subprocess.run(["git", "-C", str(tmp_path / "c"), "fetch", "-q", "origin", refs], check=True)
    subprocess.run(["git", "-C", str(tmp_path / "c"), "checkout", "-q", "FETCH_HEAD"], check=True)
    options = engine.Options(ignore_suppressions=True, not_probed="--no-probe was given")
    wanted = document(engine.audit(tmp_path / "c", options))
    from auditor.sweep.store import reading, unpacked

    with reading(store) as db:
        ours = unpacked(db.execute("SELECT report FROM submissions").fetchone()[0])
    wanted["submission"]["path"] = f"{TRACK}/2026-04-02_S"
    assert ours == wanted


@pytest.mark.slow
def test_a_folder_of_folders(tmp_path: Path) -> None:
    for name, files in {
        "101": under(f"{TRACK}/A", submission()) | under(f"{TRACK}/B", submission("y = 2\n")),
        "102": submission("z = 3\n"),
        "nothing": {"notes.md": "none"},
    }.items():
        for path, text in files.items():
            (tmp_path / "all" / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "all" / name / path).write_text(text)
    (tmp_path / "all/link").symlink_to(tmp_path / "all/102")
    arguments = (str(tmp_path / "all"), "--no-probe", "--store", str(tmp_path / "a.db"), "--format", "json")
    told = json.loads(run(*arguments).stdout)
    assert told["pull_requests"]["all"] == 3 and told["submissions"]["audited_now"] == 3
    assert json.loads(run(*arguments).stdout)["submissions"]["up_to_date"] == 3
    (tmp_path / "all/102/train.log").write_text("step:1/1 val_bpb:1.3\n")
    assert json.loads(run(*arguments).stdout)["submissions"]["audited_now"] == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give a git repository"),
        (["nowhere"], "no such folder"),
        (["file.txt"], "not a folder"),
        (["empty"], "holds no folder"),
        (["REPO", "--refs", "refs/none/*"], "no ref of"),
        (["REPO", "--refs", "-x"], "dash"),
        (["REPO", "--base", "nowhere"], "no commit 'nowhere'"),
        (["REPO", "--jobs", "-1"], "--jobs takes a number"),
        (["REPO", "--seconds", "nan"], "--seconds takes a number"),
        (["REPO", "--memory", "1"], "--memory takes a number"),
        (["REPO", "--format", "html"], "text or json"),
        (["REPO", "--engine", "spark"], "local or ray"),
        (["REPO", "--address", "x:1"], "--address is for --engine ray"),
        (["REPO", "--witness", "gossip"], "unknown witness"),
        (["REPO", "--no-probe", "--witness", "behaviour"], "at least one witness"),
        (["REPO", "--as-of", "yesterday"], "YYYY-MM-DD"),
        (["REPO", "--store", "empty"], "is a folder"),
        (["REPO", "--store", "no/such/a.db"], "its folder does not exist"),
        (["REPO", "--store", "file.txt"], "no store of a sweep"),
    ],
)
def test_wrong_usage_is_one_sentence(
    repository: Repository, tmp_path: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from auditor import cli

    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("no database " * 100)
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", *(str(repository.path) if a == "REPO" else a for a in arguments)])
    said = capsys.readouterr()
    assert ended.value.code == 2 and says in said.err and said.out == ""
    assert said.err.count("\n") == 1 and "Traceback" not in said.err
