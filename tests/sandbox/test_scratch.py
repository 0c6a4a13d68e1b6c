"""The host's own access to a folder in which a guest has laid traps."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from auditor.sandbox import Scratch, Unsafe
from auditor.sandbox.scratch import remove, usage


def test_links_are_not_followed_when_it_is_removed(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    with Scratch() as scratch:
        (scratch.path / "folder").mkdir()
        (scratch.path / "folder/out").symlink_to(tmp_path)
        (scratch.path / "file").symlink_to(tmp_path / "kept")
    assert not scratch.path.exists()
    assert (tmp_path / "kept").read_text() == "x"


def too_deep(path: Path) -> None:
    raise RecursionError


def test_locked_and_deep_folders_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "rmtree", too_deep)
    top = tmp_path / "top"
    top.mkdir()
    (top / "outside").symlink_to(tmp_path)
    fd = os.open(top, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    (top / "locked").mkdir()
    (top / "locked/file").write_text("x")
    (top / "locked").chmod(0)
    remove(top)
    assert not top.exists() and tmp_path.exists()


def test_what_is_written_lands_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("safe")
    with Scratch() as scratch:
        (scratch.path / "file").symlink_to(outside / "file")
        (scratch.path / "folder").symlink_to(outside)
        scratch.write("file", b"new")  # in place of the link
        assert scratch.read("file", 10) == b"new"
        scratch.write("deep/er/file", b"0123456789")
        assert scratch.read("deep/er/file", 4) == b"0123"
        with pytest.raises(Unsafe):
            scratch.write("folder/file", b"new")
        for bad in ("../x", "/etc/passwd", "a//b", "", "."):
            with pytest.raises(Unsafe):
                scratch.write(bad, b"new")
    assert (outside / "file").read_text() == "safe" and len(list(outside.iterdir())) == 1


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    with Scratch() as scratch:
        (scratch.path / "link").symlink_to("/etc/passwd")
        os.mkfifo(scratch.path / "pipe")
        (scratch.path / "folder").mkdir()
        for name in ("link", "pipe", "folder", "link/x"):
            with pytest.raises(Unsafe):
                scratch.read(name, 10)
        with pytest.raises(FileNotFoundError):
            scratch.read("nothing", 10)


def test_usage_counts_what_is_inside_only(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(1 << 20))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    (folder / "file").write_bytes(bytes(8192))
    size, count = usage(folder, 100)
    assert count == 2 and 8192 <= size < 100_000
    assert usage(tmp_path, 1)[1] == 2
