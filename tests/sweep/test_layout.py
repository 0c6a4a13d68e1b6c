"""Hostile trees laid out: nothing is written outside the room, everything left out is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.core.submission import Problem
from auditor.intake.limits import LIMITS
from auditor.sweep import layout
from auditor.sweep.gitobjects import Objects
from auditor.sweep.types import SweepError
from tests.sweep.repos import Repository

FILE, EXECUTABLE, LINK, FOLDER, SUBMODULE = "100644", "100755", "120000", "40000", "160000"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.at(tmp_path / "hostile.git")


@pytest.fixture
def objects(repository: Repository) -> Iterator[Objects]:
    opened = Objects(repository.path)
    yield opened
    opened.close()


def laid_out(objects: Objects, tree: str, room: Path) -> tuple[Path, list[Problem]]:
    place = layout.place_for("records/track_x/S", room)
    return place, layout.lay_out(objects, tree, place)


def files(room: Path) -> set[str]:
    return {p.relative_to(room).as_posix() for p in room.rglob("*") if p.is_symlink() or not p.is_dir()}


def test_files_folders_and_modes(repository: Repository, objects: Objects, tmp_path: Path) -> None:
    inner = repository.tree((FILE, b"b.txt", repository.blob(b"inner")))
    tree = repository.tree((EXECUTABLE, b"a.py", repository.blob(b"x = 1\n")), (FOLDER, b"d", inner))
    place, problems = laid_out(objects, tree, tmp_path / "room")
    assert (place / "a.py").read_bytes() == b"x = 1\n"
    assert (place / "d/b.txt").read_bytes() == b"inner"
    assert not (place / "a.py").stat().st_mode & 0o111, "nothing is laid out to be run"
    assert problems == []


@pytest.mark.parametrize("name", [b"..", b".", b"../../../outside", b"/etc/outside", b"a/b", b""])
def test_names_that_lead_out_are_refused(repository: Repository, objects: Objects, tmp_path: Path, name: bytes) -> None:
    (tmp_path / "room").mkdir()
    blob = repository.blob(b"escaped")
    inner = repository.tree((FILE, b"outside", blob))
    tree = repository.tree((FILE, name, blob), (FOLDER, name, inner), (FILE, b"good.py", blob))
    try:
        _, problems = laid_out(objects, tree, tmp_path / "room")
    except SweepError as error:
        assert "damaged" in str(error)
        return
    assert files(tmp_path / "room") <= {"records/track_x/S/good.py"}
    assert problems and all(p.unread for p in problems)
    assert not (tmp_path / "outside").exists()


def test_links_are_laid_out_last_and_never_written_through(
    repository: Repository, objects: Objects, tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "kept").write_text("mine")
    away = repository.blob(str(target).encode())
    evil = repository.blob(b"evil")
    inner = repository.tree((FILE, b"kept", evil), (LINK, b"more", away))
    tree = repository.tree((LINK, b"d", away), (FOLDER, b"d", inner), (LINK, b"l.py", away))
    place, problems = laid_out(objects, tree, tmp_path / "room")
    assert (target / "kept").read_text() == "mine"
    assert sorted(p.name for p in target.iterdir()) == ["kept"]
    assert (place / "l.py").is_symlink()
    assert (place / "d/kept").read_bytes() == b"evil" and not (place / "d").is_symlink()
    assert [p.file for p in problems] == ["d"]


def test_what_the_repository_does_not_hold_is_said(repository: Repository, objects: Objects, tmp_path: Path) -> None:
    tree = repository.tree(
        (FILE, b"gone.bin", "12" * 20), (FOLDER, b"sub", "13" * 20), (SUBMODULE, b"vendor", "14" * 20)
    )
    place, problems = laid_out(objects, tree, tmp_path / "room")
    assert not list(place.iterdir())
    assert {p.file: p.unread for p in problems} == {"gone.bin": True, "sub/": True, "vendor": True}
    assert "does not hold it" in problems[0].reason or "does not hold" in problems[-1].reason


def test_a_file_over_the_limit_keeps_its_length_and_is_called_unread(
    repository: Repository, objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MAX_FILE", 10)
    tree = repository.tree((FILE, b"big.bin", repository.blob(b"x" * 11)), (FILE, b"fits", repository.blob(b"y" * 10)))
    place, problems = laid_out(objects, tree, tmp_path / "room")
    assert (place / "big.bin").stat().st_size == 11
    assert (place / "fits").read_bytes() == b"y" * 10
    assert [(p.file, p.unread) for p in problems] == [("big.bin", True)]


def test_the_bytes_of_a_folder_are_bounded(
    repository: Repository, objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MAX_ALL", 15)
    blob = repository.blob(b"x" * 10)
    tree = repository.tree((FILE, b"a", blob), (FILE, b"b", blob))
    place, problems = laid_out(objects, tree, tmp_path / "room")
    assert (place / "a").read_bytes() == b"x" * 10 and [p.file for p in problems] == ["b"]


def test_files_and_levels_are_bounded(repository: Repository, objects: Objects, tmp_path: Path) -> None:
    limits = replace(LIMITS, files=3, depth=2)
    blob = repository.blob(b"x")
    wide = repository.tree(*((FILE, b"f%d" % n, blob) for n in range(5)))
    problems = layout.lay_out(objects, wide, layout.place_for("wide", tmp_path), limits)
    assert len(list((tmp_path / "wide").iterdir())) == 3 and "first 3 files" in problems[0].reason
    deep = repository.tree((FILE, b"end", blob))
    for _ in range(4):
        deep = repository.tree((FOLDER, b"d", deep))
    problems = layout.lay_out(objects, deep, layout.place_for("deep", tmp_path), limits)
    assert "deeper than 2" in problems[0].reason and not (tmp_path / "deep/d/d/d").exists()


def test_odd_names_are_problems_not_failures(repository: Repository, objects: Objects, tmp_path: Path) -> None:
    blob = repository.blob(b"x")
    tree = repository.tree((FILE, b"n" * 300, blob), (FILE, b"\xff\xfe.py", blob), (FILE, b"new\nline", blob))
    place, problems = laid_out(objects, tree, tmp_path / "room")
    assert (place / "new\nline").read_bytes() == b"x"
    assert len(list(place.iterdir())) == 2
    assert [p.file for p in problems] == ["n" * 300]


@pytest.mark.parametrize("path", ["../x", "a//b", "/a", "a/../b", ""])
def test_a_submission_s_own_path_must_not_lead_out(tmp_path: Path, path: str) -> None:
    with pytest.raises(SweepError, match="no path"):
        layout.place_for(path, tmp_path)
