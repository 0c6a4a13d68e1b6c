from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from auditor.intake import IntakeError, NoSubmission, NoSuchFolder, SeveralSubmissions, load_submission
from auditor.intake.errors import NoSuchBase
from auditor.intake.find import find_submission

RECORDS = Path("records") / "track_10min_16mb"


def _write(root: Path, *files: str) -> None:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("import torch\n")


def _git(root: Path, *args: str) -> None:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a",
                   "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    subprocess.run(["git", "-C", str(root), *args], check=True, capture_output=True, env=environment)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with two records on ``main`` and a branch that adds a third folder."""
    root = tmp_path / "checkout"
    _write(root, "train_gpt.py", f"{RECORDS}/a/train_gpt.py", f"{RECORDS}/b/train_gpt.py")
    _git(root, "init", "-q", "-b", "main")
    _git(root, "add", "-A")
    _git(root, "commit", "-q", "-m", "one")
    _git(root, "checkout", "-q", "-b", "pull")
    _write(root, f"{RECORDS}/c/train_gpt.py", f"{RECORDS}/c/train.log", "data/extra.py")
    _git(root, "add", "-A")
    _git(root, "commit", "-q", "-m", "two")
    return root


def test_a_submission_folder_and_its_track(tmp_path: Path) -> None:
    _write(tmp_path / RECORDS / "a", "train_gpt.py")
    found = find_submission(tmp_path / RECORDS / "a", base="origin/main", name=None)
    assert (found.name, found.track) == ("a", "track_10min_16mb")


@pytest.mark.parametrize("start", ["", "records", str(RECORDS)])
def test_a_folder_of_several_asks_for_a_name(tmp_path: Path, start: str) -> None:
    _write(tmp_path, f"{RECORDS}/a/train_gpt.py", f"{RECORDS}/b/submission.json", f"{RECORDS}/c/deep/model.py")
    with pytest.raises(SeveralSubmissions, match="choose one with --submission: a, b, c") as caught:
        find_submission(tmp_path / start, base="origin/main", name=None)
    assert len(caught.value.names) == 3
    assert find_submission(tmp_path / start, base="origin/main", name="b").name == "b"
    with pytest.raises(NoSubmission, match="no submission named 'x'; there are: a, b, c"):
        find_submission(tmp_path / start, base="origin/main", name="x")


def test_one_of_one_needs_no_name(tmp_path: Path) -> None:
    _write(tmp_path, f"{RECORDS}/only/train.py")
    assert find_submission(tmp_path, base="origin/main", name=None).name == "only"


@pytest.mark.parametrize("inner", ["records/track_10min_16mb/deep", "."])
def test_a_tree_that_lies_one_level_off(tmp_path: Path, inner: str) -> None:
    _write(tmp_path / RECORDS / inner, "train_gpt.py")
    found = find_submission(tmp_path, base="origin/main", name=None)
    assert found.root == (tmp_path / RECORDS / inner).resolve()


def test_a_plain_folder_with_a_script(tmp_path: Path) -> None:
    _write(tmp_path / "mine", "model.py")
    found = find_submission(tmp_path / "mine", base="origin/main", name=None)
    assert (found.name, found.track) == ("mine", None)


def test_a_checkout_gives_the_folder_that_it_adds(checkout: Path) -> None:
    found = find_submission(checkout, base="main", name=None)
    assert found.name == "c" and found.outside == ("data/extra.py",)
    inside = find_submission(checkout / RECORDS / "c", base="main", name=None)
    assert inside.outside == ("data/extra.py",)


def test_the_default_base_falls_back_to_main(checkout: Path) -> None:
    assert find_submission(checkout, base="origin/main", name=None).name == "c"


def test_an_unknown_base_is_refused(checkout: Path) -> None:
    with pytest.raises(NoSuchBase, match="knows no 'origin/nowhere'"):
        find_submission(checkout, base="origin/nowhere", name=None)


def test_a_wrong_name_for_the_folder_itself(checkout: Path) -> None:
    folder = checkout / RECORDS / "c"
    assert find_submission(folder, base="main", name=f"{RECORDS.name}/c").name == "c"
    with pytest.raises(NoSubmission, match="no submission named 'other' in it; the folder is 'c' itself"):
        find_submission(folder, base="main", name="other")


def test_a_checkout_without_any_base(checkout: Path) -> None:
    _git(checkout, "branch", "-q", "-D", "main")
    with pytest.raises(SeveralSubmissions, match="holds 3 submissions"):
        find_submission(checkout, base="origin/main", name=None)
    found = find_submission(checkout, base="origin/main", name="c")
    assert "git knows no 'origin/main'" in found.notes[0][1]


def test_two_added_folders_ask_for_a_name(checkout: Path) -> None:
    _write(checkout, f"{RECORDS}/d/train_gpt.py")
    _git(checkout, "add", "-A")
    _git(checkout, "commit", "-q", "-m", "three")
    with pytest.raises(SeveralSubmissions) as caught:
        find_submission(checkout, base="main", name=None)
    assert caught.value.names == (f"{RECORDS.as_posix()}/c", f"{RECORDS.as_posix()}/d")
    assert f"{RECORDS.as_posix()}/d/train_gpt.py" in find_submission(checkout, base="main", name="c").outside


def test_a_changed_older_record_does_not_compete(checkout: Path) -> None:
    (checkout / RECORDS / "a" / "train_gpt.py").write_text("changed\n")
    _git(checkout, "commit", "-q", "-a", "-m", "three")
    found = find_submission(checkout, base="main", name=None)
    assert found.name == "c" and f"{RECORDS.as_posix()}/a/train_gpt.py" in found.outside


def test_git_runs_nothing_of_the_repository(checkout: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n")
    script.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "diff.external",
        "core.pager",
        "pager.diff",
        "core.sshCommand",
        "diff.x.textconv",
        "diff.x.command",
    ):
        _git(checkout, "config", key, str(script))
    (checkout / ".git" / "info" / "attributes").write_text("*.py diff=x\n")
    for hook in ("post-index-change", "reference-transaction", "post-checkout"):
        (checkout / ".git" / "hooks" / hook).write_bytes(script.read_bytes())
        (checkout / ".git" / "hooks" / hook).chmod(0o755)
    mark.unlink(missing_ok=True)
    assert find_submission(checkout, base="main", name=None).name == "c"
    with pytest.raises(NoSuchBase):
        find_submission(checkout, base="--output=/tmp/x", name=None)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("path", "reason"),
    [("nowhere", "No such file"), ("a_file", "a file, not a folder"), ("loop", "link"), ("a\0b", "NUL")],
)
def test_no_such_folder(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "a_file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(NoSuchFolder, match=reason):
        load_submission(tmp_path / path)


@pytest.mark.parametrize("files", [(), ("notes.txt",), ("a/b/notes.txt",), ("records/track_10min_16mb/x/.keep_dir/y",)])
def test_nothing_in_it(tmp_path: Path, files: tuple[str, ...]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    _write(folder, *files)
    with pytest.raises(NoSubmission, match=r"empty"):
        load_submission(folder)
    assert issubclass(NoSubmission, IntakeError)
