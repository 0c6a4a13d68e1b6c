"""Turn what the user points at into one submission folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from auditor.intake.errors import NoSubmission, NoSuchBase, NoSuchFolder, SeveralSubmissions
from auditor.intake.git import DEFAULT_BASE, Changes, changes, checkout_top

MAX_FOLDERS = 3_000
MAX_SHOWN = 40
_STRONG = re.compile(r"(?i)^(submission\.json|train_gpt.*\.py)$")
_WEAK = re.compile(r"(?i)^(.*\.py|.*\.log|train.*\.txt|submission.*\.json)$")


@dataclass
class Found:
    """The chosen folder, the track its path names, and what was noticed on the way."""

    root: Path
    name: str
    track: str | None
    outside: tuple[str, ...] = ()
    notes: list[tuple[str, str]] = field(default_factory=list)


def find_submission(path: Path, *, base: str, name: str | None) -> Found:
    """Resolve ``path`` (a folder, several, or a checkout); raises ``IntakeError`` with the reason."""
    shown = os.fspath(path)
    if "\0" in shown:
        raise NoSuchFolder("the path contains a NUL character")
    try:
        root = path.resolve(strict=True)
        if not root.is_dir():
            raise NoSuchFolder(f"{shown}: a file, not a folder; give the submission's folder")
        with os.scandir(root):
            names = _names(root)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NoSuchFolder(f"{shown}: {reason}") from None
    notes: list[tuple[str, str]] = []
    top = checkout_top(root)
    diff = changes(top, base) if top is not None and _in_records(root, top) else None
    if isinstance(diff, str) and base != DEFAULT_BASE:
        raise NoSuchBase(f"{shown}: {diff}")
    if isinstance(diff, str):
        notes.append((".", diff))
        diff = None
    itself = _any(names, _STRONG) or (_in_track(root) and _worth(root, names))
    if (root / "records").is_dir() and not _in_track(root):
        return _from_repository(root, diff, name, notes, shown)
    if itself and _selects(name, root):
        return _made(root, diff, notes)
    inner = _inner(root)
    if inner:
        return _made(_select(root, inner, name, shown), diff, notes)
    if (itself or _any(names, _WEAK)) and not _selects(name, root):
        raise NoSubmission(f"{shown}: no submission named {name!r} in it; the folder is {root.name!r} itself")
    if _any(names, _WEAK):
        return _made(root, diff, notes)
    raise NoSubmission(f"{shown}: no submission in it (no train_gpt.py, no other script, no submission.json, no log)")


def track_of(path: Path) -> str | None:
    """``track_...`` in the path, the last one."""
    return next((part for part in reversed(path.parts) if part.startswith("track_")), None)


def _made(root: Path, diff: Changes | None, notes: list[tuple[str, str]]) -> Found:
    outside: tuple[str, ...] = ()
    if diff is not None:
        prefix = root.relative_to(diff.top).as_posix() + "/"
        changed = (*diff.added, *diff.modified)
        if any(f.startswith(prefix) for f in changed):
            outside = tuple(sorted(f for f in changed if not f.startswith(prefix)))
    return Found(root, root.name, track_of(root), outside, notes)


def _from_repository(
    root: Path, diff: Changes | None, name: str | None, notes: list[tuple[str, str]], shown: str
) -> Found:
    """``root`` holds ``records/``: the folder that the diff adds, else the only or the named one."""
    listed = record_folders(root)
    if diff is not None and diff.top == root:
        added = _folders_of(diff.added, listed)
        choice = added or _folders_of(diff.modified, listed)
        if choice and (name is None or any(_is_named(f, name) for f in choice)):
            return _made(root / _choose(choice, name, shown), diff, notes)
    if not listed:
        raise NoSubmission(f"{shown}: records/ holds no submission folder")
    return _made(root / _choose(listed, name, shown), diff, notes)


def _folders_of(files: Iterable[str], listed: list[str]) -> list[str]:
    """The record folders, of those listed, that hold one of ``files``."""
    found = {folder for file in files for folder in listed if file.startswith(folder + "/")}
    return sorted(found)


def record_folders(root: Path) -> list[str]:
    """``records/<track>/<name>`` (or ``records/<name>`` for folders laid out otherwise), relative to ``root``."""
    found: list[str] = []
    for track in _subfolders(root / "records"):
        children = _subfolders(track)
        here = _names(track)
        if not track.name.startswith("track") and (_any(here, _WEAK) or not children):
            if _worth(track, here):
                found.append(track.relative_to(root).as_posix())
            continue
        if _any(here, _STRONG) or (not children and _any(here, _WEAK)):
            found.append(track.relative_to(root).as_posix())
        for child in children:
            if child.name == "records":  # a whole tree copied one level too deep
                found.extend(f"{track.relative_to(root).as_posix()}/{name}" for name in record_folders(track))
            elif _worth(child, _names(child)):
                found.append(child.relative_to(root).as_posix())
    return found


def _inner(root: Path) -> list[str]:
    """Submission folders up to two levels below ``root``, relative to it."""
    if root.name == "records":
        return [folder.removeprefix("records/") for folder in record_folders(root.parent)]
    if root.name.startswith("track_"):
        return [child.name for child in _subfolders(root) if _worth(child, _names(child))]
    found: list[str] = []
    for child in _subfolders(root):
        names = _names(child)
        if _any(names, _WEAK):
            found.append(child.name)
        else:
            found.extend(f"{child.name}/{c.name}" for c in _subfolders(child) if _any(_names(c), _WEAK))
    return found


def _select(root: Path, inner: list[str], name: str | None, shown: str) -> Path:
    return root / _choose(inner, name, shown)


def _choose(folders: list[str], name: str | None, shown: str) -> str:
    """The one folder, or the one that ``name`` names."""
    if name is not None:
        matching = [f for f in folders if _is_named(f, name)]
        if len(matching) == 1:
            return matching[0]
        if not matching:
            raise NoSubmission(f"{shown}: no submission named {name!r}; there are: {_list(folders)}")
        raise SeveralSubmissions(f"{shown}: {name!r} names several: {_list(matching)}", tuple(matching))
    if len(folders) == 1:
        return folders[0]
    raise SeveralSubmissions(
        f"{shown}: holds {len(folders)} submissions; choose one with --submission: {_list(folders)}", tuple(folders)
    )


def _is_named(folder: str, name: str) -> bool:
    name = name.strip("/")
    return folder == name or folder.endswith("/" + name) or PurePosixPath(folder).name == name


def _list(folders: list[str]) -> str:
    more = f" and {len(folders) - MAX_SHOWN} more" if len(folders) > MAX_SHOWN else ""
    return ", ".join(PurePosixPath(f).name for f in folders[:MAX_SHOWN]) + more


def _in_records(root: Path, top: Path) -> bool:
    """Whether the checkout is one of the competition's: at its top, or inside its ``records``."""
    return (root == top and (top / "records").is_dir()) or root.relative_to(top).as_posix().startswith("records")


def _in_track(folder: Path) -> bool:
    return folder.parent.name.startswith("track_")


def _worth(folder: Path, names: list[str]) -> bool:
    """Whether a folder in a place for submissions is one: anything but an empty one."""
    return bool(names) or any(_names(child) for child in _subfolders(folder))


def _selects(name: str | None, root: Path) -> bool:
    """Whether ``name`` (None: any) is the folder that was given."""
    return name is None or _is_named(root.as_posix(), name)


def _any(names: list[str], pattern: re.Pattern[str]) -> bool:
    return any(pattern.match(name) for name in names)


def _names(folder: Path) -> list[str]:
    """Names of the regular files directly in ``folder``."""
    found: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    found.append(entry.name)
                if len(found) > MAX_FOLDERS:
                    break
    except OSError:
        return []
    return found


def _subfolders(folder: Path) -> list[Path]:
    """Real folders (no links) directly in ``folder``, sorted, without hidden ones."""
    found: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith((".", "__")):
                    found.append(Path(entry.path))
                if len(found) > MAX_FOLDERS:
                    break
    except OSError:
        return []
    return sorted(found)
