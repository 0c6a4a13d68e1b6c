"""A script's absolute folders are laid over the guest's, but never over the interpreter that runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from auditor.behaviour.session import coverable, own_folders


def laid_out(root: Path, *folders: str) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    ("folders", "own", "covered"),
    [
        (("data/x", "workspace/y"), {"/opt", "/opt/python"}, ["data", "workspace"]),
        (("workspace/data", "workspace/tool/data"), {"/workspace", "/workspace/tool"},
         ["workspace/data", "workspace/tool/data"]),
        (("root/data",), {"/root", "/root/python"}, ["root/data"]),
        (("root/python",), {"/root", "/root/python"}, []),
        (("usr/data", "tmp/data", "mnt/a"), set(), ["mnt"]),
    ],
)  # fmt: skip
def test_the_uppermost_folders_that_hide_nothing(
    tmp_path: Path, folders: tuple[str, ...], own: set[str], covered: list[str]
) -> None:
    assert list(coverable(laid_out(tmp_path, *folders), frozenset(own))) == covered


def test_files_and_links_at_the_top_cover_nothing(tmp_path: Path) -> None:
    (tmp_path / "shard.bin").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    assert list(coverable(tmp_path, frozenset())) == []


def test_the_interpreter_is_among_its_own_folders() -> None:
    assert {sys.prefix, sys.base_prefix, "/"} <= own_folders()
