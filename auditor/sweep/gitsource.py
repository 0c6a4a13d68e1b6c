"""The pull requests of a git repository (bare or not) as a source of submissions; no checkout, no network."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from auditor.core.text import plain
from auditor.intake.find import Found, track_of
from auditor.intake.git import SAFE_GIT, environment
from auditor.sweep import layout
from auditor.sweep.gitobjects import TIMEOUT_S, Commit, Objects
from auditor.sweep.trees import Changed, changes, chosen, subtree
from auditor.sweep.types import Folder, Opened, Planned, Pull, SweepError

BASES = ("main", "origin/main", "master", "origin/master")
_NUMBER = re.compile(r"/(\d{1,9})/(?:head|merge)$")
_MERGE = re.compile(r"^Merge pull request #\d+ from (\S+)\n+(.*)")
_BROKEN = re.compile(r"^warning: ignoring (?:broken|dangling symbolic) ref(?:erence)? (\S+)", re.MULTILINE)
PULLS = "refs/pull/*/head"
MAX_FIELD = 300
MAX_MERGES = 50


def git_dir(path: Path) -> Path | None:
    """The git directory of a bare repository or of a checkout; None when ``path`` is neither."""
    for folder in (path, path / ".git"):
        if (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir():
            return folder
    return None


class GitSource:
    """Pull requests are the refs that match a pattern; each is compared with where it left the base branch."""

    def __init__(self, directory: Path, refs: str, base: str = "") -> None:
        if refs.startswith("-") or base.startswith("-"):
            raise SweepError("a ref does not start with a dash")
        self._dir = directory
        self._refs = refs
        self.base = self._base_commit(base)
        self._objects = Objects(directory)
        self._landed: dict[str, tuple[str, str]] | None = None

    def close(self) -> None:
        """End the reader processes."""
        self._objects.close()

    def pulls(self) -> list[Pull]:
        """All refs that match, by number; of one that leads to no commit the plan says so. Raises `SweepError` for
        none."""
        listed, said = self._run("for-each-ref", "--format=%(objectname) %(refname)", self._refs)
        pairs = [line.split(" ", 1) for line in (listed or "").splitlines()]
        pairs += [["", name] for name in _BROKEN.findall(said)]
        pulls = [Pull(name, oid, int(n.group(1)) if (n := _NUMBER.search(name)) else None) for oid, name in pairs]
        if not pulls:
            hint = f"; git fetch origin '{PULLS}:{PULLS}' brings GitHub's" if self._refs == PULLS else ""
            raise SweepError(f"no ref of {self._dir} matches {self._refs!r}{hint}")
        return sorted(pulls, key=lambda p: (p.number is None, p.number or 0, p.ref))

    def plan(self, pull: Pull) -> Planned:
        """The folders that ``pull`` adds since it left the base, or added when it was merged."""
        if not pull.head:
            raise SweepError(f"git calls {pull.ref} a broken ref")
        commit = self._objects.commit(pull.head)
        base, note = self._parted(pull.head)
        changed = self._changed(base, commit)
        folders = chosen(self._objects.tree, commit.tree, changed)
        if not folders and not note:
            note = _nothing(changed)
        listed = tuple(Folder(layout.shown(path), self._content(commit, path, changed)) for path in folders)
        author, title = self._who(pull, commit)
        return Planned(base, author, title, _date(commit), listed, note)

    def open(self, pull: Pull, path: str, room: str) -> Opened:
        """Lay out the folder ``path`` of ``pull`` below ``room``."""
        commit = self._objects.commit(pull.head)
        base, _ = self._parted(pull.head)
        changed = self._changed(base, commit)
        oid = subtree(self._objects.tree, commit.tree, path)
        if oid is None:
            raise SweepError(f"{path} is no folder of {pull.ref}")
        place = layout.place_for(path, Path(room))
        problems = layout.lay_out(self._objects, oid, place)
        outside = tuple(sorted(c.path for c in changed if not c.path.startswith(path + "/")))
        return Opened(Found(place, place.name, track_of(Path(path)), outside), tuple(problems))

    def _changed(self, base: str, commit: Commit) -> list[Changed]:
        before = self._objects.commit(base).tree if base else None
        return changes(self._objects.tree, before, commit.tree)

    def _content(self, commit: Commit, path: str, changed: list[Changed]) -> str:
        """Digest of the folder's tree and of the names that are changed outside it."""
        oid = subtree(self._objects.tree, commit.tree, path) or ""
        outside = sorted(c.path for c in changed if not c.path.startswith(path + "/"))
        text = "\0".join([path, oid, *outside])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    def _parted(self, head: str) -> tuple[str, str]:
        """The commit that ``head`` is compared with, and a note when that is not where it left the base branch."""
        main = self.base
        merged = self._landings().get(head)
        if merged is not None:
            main = merged[0]
            if not main:
                return "", "the history begins with it: all its files count as added"
        found = self._git("merge-base", main, head)
        if found is None:
            return self.base, "it has no history in common with the base: compared with the base as it stands"
        return found.split()[0], ""

    def _who(self, pull: Pull, commit: Commit) -> tuple[str, str]:
        """The author, and the title that a merge commit tells; else the subject of the last commit of the author's own
        (the head may be a merge of the base branch into the pull request's)."""
        merged = self._landings().get(pull.head)
        for _ in range(MAX_MERGES):
            if len(commit.parents) < 2 or commit.parents[0] in self._landings():
                break
            commit = self._objects.commit(commit.parents[0])
        title = commit.message.strip().partition("\n")[0]
        if merged is not None and (match := _MERGE.match(self._objects.commit(merged[1]).message)):
            title = match.group(2).strip() or title
        return commit.author[:MAX_FIELD], title[:MAX_FIELD]

    def _landings(self) -> dict[str, tuple[str, str]]:
        """Of each commit in the base's history: what the base was before it came in ("" at its beginning), and the
        commit of the base's first-parent line that brought it in."""
        if self._landed is None:
            listed = self._git("rev-list", "--parents", self.base) or ""
            parents = {words[0]: words[1:] for line in listed.splitlines() if (words := line.split())}
            line = [self.base]
            while parents.get(line[-1]):
                line.append(parents[line[-1]][0])
            self._landed = {}
            for commit in reversed(line):
                before = parents[commit][0] if parents.get(commit) else ""
                pending = [commit]
                while pending:
                    one = pending.pop()
                    if one not in self._landed:
                        self._landed[one] = (before, commit)
                        pending += parents.get(one, ())
        return self._landed

    def _base_commit(self, asked: str) -> str:
        """The base branch's commit. Raises `SweepError` when there is none of that name."""
        for name in (asked,) if asked else BASES:
            oid = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
            if oid:
                return oid.strip()
        raise SweepError(
            f"{self._dir}: it has no commit {asked!r} to compare with"
            if asked
            else f"{self._dir}: it has no branch main or master to compare with; name one with --base"
        )

    def _git(self, *arguments: str) -> str | None:
        """Standard output of one git command; None when it answers no. Raises `SweepError` when it fails."""
        return self._run(*arguments)[0]

    def _run(self, *arguments: str) -> tuple[str | None, str]:
        """As `_git`, and what the command said beside it."""
        try:
            done = subprocess.run(
                [*SAFE_GIT, "--git-dir", os.fspath(self._dir), *arguments], capture_output=True, timeout=TIMEOUT_S,
                env=environment(), stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SweepError(f"git {arguments[0]} did not answer: {error}") from error
        said = done.stderr.decode("utf-8", "backslashreplace")
        if done.returncode not in (0, 1):  # 1: no such commit, no common history
            raise SweepError(f"git {arguments[0]} failed: {plain(said, 200)}")
        return None if done.returncode else done.stdout.decode("utf-8", "backslashreplace"), said


def _nothing(changed: list[Changed]) -> str:
    """Why a pull request adds no submission, by what it changes."""
    if not changed:
        return "it adds and changes no file"
    scripts = [c.path for c in changed if c.path.rpartition("/")[2].startswith("train_gpt")]
    if scripts:
        return f"it changes {layout.shown(scripts[0])}, but adds no submission folder"
    return f"it changes {len(changed):,} file{'s' * (len(changed) > 1)}, none in a submission folder"


def _date(commit: Commit) -> str:
    """ISO date and time with the author's own offset; empty when it is out of all bounds."""
    try:
        moment = datetime.fromtimestamp(commit.date, UTC)
        return moment.astimezone(timezone(timedelta(minutes=commit.offset))).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""
