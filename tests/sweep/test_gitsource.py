"""Which folders a pull request adds, told from the repository's objects alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditor.intake import find
from auditor.sweep.gitobjects import FILE, FOLDER, Entry, Objects, TooLarge
from auditor.sweep.gitsource import GitSource, git_dir
from auditor.sweep.store import Store
from auditor.sweep.trees import changes, record_folders
from auditor.sweep.types import Planned, SweepError
from tests.sweep.repos import TRACK, Repository, git, submission, under

PATTERN = "refs/pull/*/head"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository.at(tmp_path_factory.mktemp("sweep") / "contest.git")
    old = made.main
    made.pull(1, under(f"{TRACK}/2026-04-01_One", submission()), message="One submission\n\nbody", author="Grace H")
    both = under(f"{TRACK}/A", submission()) | under("records/track_non_record_16mb/B", submission())
    made.pull(2, both | {"notes.txt": "n"})
    made.pull(3, {"train_gpt.py": "x = 2\n", "docs/new.md": "d"})
    made.pull(4, under(f"{TRACK}/Merged", submission()))
    made.merge(4, "The title of the fourth")
    made.pull(5, {f"{TRACK}/Merged/README.md": "changed\n"})
    made.pull(6, under("mine/attempt", submission()) | {"mine/readme.md": "m"}, base=old)
    made.pull(7, under("records/Untracked", submission()))
    made.commit("refs/pull/8/head", under(f"{TRACK}/Alone", submission()), message="No history")
    made.pull(9, {})
    feature = made.pull(10, under(f"{TRACK}/Behind", submission()), base=old, message="My own words")
    made.commit("refs/pull/10/head", {}, parents=(feature, made.main), message="Merge branch 'main' into mine")
    head = made.pull(11, under(f"{TRACK}/Forward", submission()))
    git(made.path, "update-ref", "refs/heads/main", head)
    made.pull(12, under(f"{TRACK}/Forward", submission()) | {f"{TRACK}/Forward/more/a.txt": "z"})
    return made


@pytest.fixture(scope="module")
def source(repository: Repository) -> Iterator[GitSource]:
    opened = GitSource(repository.path, PATTERN)
    yield opened
    opened.close()


def plan(source: GitSource, number: int) -> Planned:
    return source.plan(next(p for p in source.pulls() if p.number == number))


WANTED = {
    1: [f"{TRACK}/2026-04-01_One"],
    2: [f"{TRACK}/A", "records/track_non_record_16mb/B"],
    3: [],
    4: [f"{TRACK}/Merged"],
    5: [f"{TRACK}/Merged"],
    6: ["mine/attempt"],
    7: ["records/Untracked"],
    8: [f"{TRACK}/Alone"],
    9: [],
    10: [f"{TRACK}/Behind"],
    11: [f"{TRACK}/Forward"],
    12: [f"{TRACK}/Forward"],
}


@pytest.mark.parametrize("number", WANTED)
def test_the_folders_that_a_pull_request_adds(source: GitSource, number: int) -> None:
    assert [folder.path for folder in plan(source, number).folders] == WANTED[number]


def test_what_adds_nothing_says_what_it_changes(source: GitSource) -> None:
    assert plan(source, 3).note == "it changes train_gpt.py, but adds no submission folder"
    assert plan(source, 9).note == "it adds and changes no file"
    assert "no history in common" in plan(source, 8).note


def test_author_title_and_date(source: GitSource) -> None:
    one = plan(source, 1)
    assert (one.author, one.title, one.date) == ("Grace H", "One submission", "2026-04-01T01:33:20+02:00")
    assert plan(source, 4).title == "The title of the fourth"
    assert plan(source, 10).title == "My own words"


def test_pulls_come_by_number_and_a_pattern_without_any_is_refused(source: GitSource, repository: Repository) -> None:
    assert [p.number for p in source.pulls()] == sorted(WANTED)
    nothing = GitSource(repository.path, "refs/nothing/*")
    with pytest.raises(SweepError, match=r"no ref of .* matches"):
        nothing.pulls()
    nothing.close()
    with pytest.raises(SweepError, match="no commit 'nowhere'"):
        GitSource(repository.path, PATTERN, "nowhere")
    for refs, base in (("--upload-pack=x", ""), (PATTERN, "--output=x")):
        with pytest.raises(SweepError, match="dash"):
            GitSource(repository.path, refs, base)


def test_one_ref_whose_commit_is_missing_keeps_no_other_from_being_listed(tmp_path: Path) -> None:
    made = Repository.at(tmp_path / "partial.git")
    made.pull(1, under(f"{TRACK}/One", submission()))
    broken = made.path / "refs/pull/2/head"
    broken.parent.mkdir(parents=True)
    broken.write_text("a" * 40 + "\n")
    opened = GitSource(made.path, PATTERN)
    try:
        first, second = opened.pulls()
        assert [folder.path for folder in opened.plan(first).folders] == [f"{TRACK}/One"]
        with pytest.raises(SweepError, match="does not hold aaaa"):
            opened.plan(second)
    finally:
        opened.close()


def test_refs_that_lead_to_no_commit_are_listed_and_say_so(tmp_path: Path) -> None:
    made = Repository.at(tmp_path / "odd.git")
    made.pull(1, under(f"{TRACK}/One", submission()))
    git(made.path, "update-ref", "refs/pull/2/head", made.blob(b"no commit"))
    for number, text in ((3, "0" * 40), (4, "garbage")):
        broken = made.path / f"refs/pull/{number}/head"
        broken.parent.mkdir(parents=True)
        broken.write_text(f"{text}\n")
    opened = GitSource(made.path, PATTERN)
    try:
        pulls = opened.pulls()
        assert [pull.number for pull in pulls] == [1, 2, 3, 4]
        for pull, says in zip(pulls[1:], ("is a blob, no commit", "a broken ref", "a broken ref"), strict=True):
            with pytest.raises(SweepError, match=says):
                opened.plan(pull)
    finally:
        opened.close()


def test_a_history_that_cannot_be_read_is_an_error_and_not_a_pull_request_without_changes(tmp_path: Path) -> None:
    made = Repository.at(tmp_path / "holes.git")
    made.pull(1, under(f"{TRACK}/One", submission()))
    first = made.main
    made.merge(1)
    made.commit("refs/heads/main", {"more.md": "m"}, parents=(made.main,))
    holes(made, first)
    opened = GitSource(made.path, PATTERN)
    try:
        with pytest.raises(SweepError, match="git rev-list failed"):
            plan(opened, 1)
    finally:
        opened.close()


def holes(made: Repository, oid: str) -> None:
    """Take one object away from a repository, as a partial copy lacks it."""
    packs = made.path / "objects/pack"
    aside = made.path.parent / "aside"
    packs.rename(aside)
    packs.mkdir()
    for pack in aside.glob("*.pack"):
        git(made.path, "unpack-objects", "-q", data=pack.read_bytes())
    (made.path / "objects" / oid[:2] / oid[2:]).unlink()


def test_a_path_that_is_no_utf_8_can_be_told_and_kept(tmp_path: Path) -> None:
    made = Repository.at(tmp_path / "bytes.git")
    inner = made.tree(("100644", b"train_gpt.py", made.blob(b"x = 1\n")))
    made.commit_tree("refs/pull/1/head", made.tree(("40000", b"\xff", inner)), made.main)
    opened, store = GitSource(made.path, PATTERN), Store(tmp_path / "a.db")
    (pull,) = opened.pulls()
    store.planned(pull, opened.plan(pull), "k")
    assert store.db.execute("SELECT note FROM pulls").fetchone() == (
        "it changes \\udcff/train_gpt.py, but adds no submission folder",
    )
    opened.close()
    store.close()


def test_refs_that_are_no_utf_8_stay_two(tmp_path: Path) -> None:
    made = Repository.at(tmp_path / "bytes.git")
    head = made.pull(1, {}).encode()
    with (made.path / "packed-refs").open("wb") as stream:
        stream.write(b"".join(head + b" refs/pull/" + name + b"/head\n" for name in (b"\xfe", b"\xff")))
    opened = GitSource(made.path, PATTERN)
    try:
        assert len({pull.ref for pull in opened.pulls()}) == 3
    finally:
        opened.close()


def test_the_git_directory_of_a_bare_repository_and_of_a_checkout(repository: Repository, tmp_path: Path) -> None:
    assert git_dir(repository.path) == repository.path
    subprocess.run(["git", "init", "-q", str(tmp_path / "work")], check=True)
    assert git_dir(tmp_path / "work") == tmp_path / "work/.git"
    assert git_dir(tmp_path) is None


def test_the_same_changes_as_git_s_own_diff(source: GitSource, repository: Repository) -> None:
    objects = Objects(repository.path)
    for number in (1, 2, 3, 5, 6, 10):
        head = repository.heads[f"refs/pull/{number}/head"]
        base = plan(source, number).base
        told = git(repository.path, "diff-tree", "-r", "--no-renames", "--diff-filter=AM", "--name-status", base, head)
        ours = changes(objects.tree, objects.commit(base).tree, objects.commit(head).tree)
        assert sorted(told.splitlines()) == sorted(f"{'A' if c.added else 'M'}\t{c.path}" for c in ours)
        assert bool(ours) == (told != "")
    objects.close()


def test_content_changes_with_the_folder_and_with_what_lies_outside(tmp_path: Path) -> None:
    made = Repository.at(tmp_path / "r.git")
    files = under(f"{TRACK}/X", submission())
    made.pull(1, files, when=1)
    made.pull(2, files, when=2, message="other words, same files")
    made.pull(3, files | {f"{TRACK}/X/README.md": "changed"})
    made.pull(4, files | {"outside.txt": "o"})
    source = GitSource(made.path, PATTERN)
    contents = [plan(source, n).folders[0].content for n in (1, 2, 3, 4)]
    source.close()
    assert contents[0] == contents[1]
    assert len(set(contents)) == 3


NAMES = st.sampled_from(
    ["train_gpt.py", "submission.json", "notes.md", "train.log", "records", "track_a", "A", "B", ".hid", "__x", "deep"]
)
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATHS)
def test_record_folders_of_a_tree_are_those_of_a_checkout(
    tmp_path_factory: pytest.TempPathFactory, paths: list[list[str]]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    (root / "records").mkdir()
    for parts in paths:
        place = root.joinpath("records", *parts)
        if not any(p.is_file() for p in place.parents) and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("x")
    trees = {str(p): _entries(p) for p in (root, *root.rglob("*")) if p.is_dir()}
    assert record_folders(trees.__getitem__, str(root)) == find.record_folders(root)


def _entries(folder: Path) -> tuple[Entry, ...]:
    return tuple(Entry(p.name, FOLDER if p.is_dir() else FILE, str(p)) for p in sorted(folder.iterdir()))


def test_trees_that_hold_each_other_many_times_are_refused() -> None:
    bomb = {f"t{n}": tuple(Entry(f"e{k}", FOLDER, f"t{n + 1}") for k in range(10)) for n in range(30)}
    bomb["t30"] = ()
    with pytest.raises(SweepError, match="more than"):
        changes(bomb.__getitem__, None, "t0")
    deep = {f"t{n}": (Entry("e", FOLDER, f"t{n + 1}"),) for n in range(100)} | {"t100": ()}
    with pytest.raises(SweepError, match="nest deeper"):
        changes(deep.__getitem__, None, "t0")


def test_objects_that_are_missing_too_large_or_no_names(repository: Repository) -> None:
    objects = Objects(repository.path)
    blob = repository.blob(b"twelve bytes")
    assert objects.read(blob, 12) == b"twelve bytes"
    with pytest.raises(TooLarge, match="12 bytes"):
        objects.read(blob, 11)
    assert objects.read(blob, 12) == b"twelve bytes", "the reader is still in step"
    with pytest.raises(SweepError, match="does not hold"):
        objects.read("0" * 40, 10)
    for name in ("main", "HEAD\nHEAD", "-x", ""):
        with pytest.raises(SweepError, match="no object name"):
            objects.read(name, 10)
    with pytest.raises(SweepError, match="no commit"):
        objects.commit(blob)
    objects.close()
