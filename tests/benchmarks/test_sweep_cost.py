"""The cost script on a small repository of pull requests made here."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import sweep_cost
from tests.benchmarks.corpus_git import Corpus, Folder, stream

FOLDER = "records/track_10min_16mb/2026-04-01_One"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``main`` and two pull requests: one adds two folders and a link, the other changes only a page."""
    root = tmp_path_factory.mktemp("repository")

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)

    def write(path: str, text: str) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    git("init", "--initial-branch=main")
    write("README.md", "base\n")
    git("add", "-A")
    git("commit", "-m", "base")
    git("checkout", "-b", "one")
    write(f"{FOLDER}/train_gpt.py", "print('a')\n")
    write(f"{FOLDER}/submission.json", "{}\n")
    (root / FOLDER / "link").symlink_to("../../../README.md")
    write("records/track_non_record_16mb/2026-04-02_Twö/train_gpt.py", "def broken(:\n")
    git("add", "-A")
    git("commit", "-m", "one")
    git("update-ref", "refs/pull/1/head", "HEAD")
    git("checkout", "-b", "two", "main")
    write("README.md", "changed\n")
    git("commit", "-am", "two")
    git("update-ref", "refs/pull/20/head", "HEAD")
    git("checkout", "main")
    return root


def test_folders_and_layout(repository: Path, tmp_path: Path) -> None:
    corpus = Corpus(repository)
    try:
        assert corpus.pull_requests() == [1, 20]
        folders = list(stream(corpus, None, None))
        assert folders == [Folder(1, FOLDER), Folder(1, "records/track_non_record_16mb/2026-04-02_Twö")]
        assert list(stream(corpus, {20}, None)) == [] and len(list(stream(corpus, None, 1))) == 1
        place = corpus.lay_out(folders[0], tmp_path)
        assert (place / "train_gpt.py").read_text() == "print('a')\n" and (place / "link").is_symlink()
    finally:
        corpus.close()


def arguments(out: Path) -> argparse.Namespace:
    return argparse.Namespace(only=None, limit=None, jobs=2, out=str(out))


def rows(repository: Path, out: Path) -> list[dict[str, Any]]:
    corpus = Corpus(repository)
    try:
        sweep_cost.run(corpus, arguments(out))
    finally:
        corpus.close()
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_each_folder_gives_one_line(repository: Path, tmp_path: Path) -> None:
    found = rows(repository, tmp_path / "out.jsonl")
    assert {row["folder"] for row in found} == {FOLDER, "records/track_non_record_16mb/2026-04-02_Twö"}
    for row in found:
        assert row["exit"] == 0 and row["verdict"] and row["seconds"] >= 0 and row["peak_mib"] > 1, row


def test_a_crash_of_the_tool_is_a_line_and_a_failure(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(place: Path) -> dict[str, Any]:
        raise MemoryError("planted")

    monkeypatch.setattr(sweep_cost, "audit_once", broken)
    found = rows(repository, tmp_path / "out.jsonl")
    assert [row["exit"] for row in found] == [3, 3]
    assert "exit 3 or no answer 2" in sweep_cost.summary(found, 0.0)


def test_the_guard_kills_what_never_ends(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(place: Path) -> dict[str, Any]:
        while True:
            pass

    monkeypatch.setattr(sweep_cost, "audit_once", endless)
    monkeypatch.setattr(sweep_cost, "GUARD_SECONDS", 0.2)
    assert all("no answer" in row["error"] for row in rows(repository, tmp_path / "out.jsonl"))
