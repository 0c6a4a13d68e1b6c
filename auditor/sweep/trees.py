"""Trees of a repository compared and searched: what a pull request changes, and which submission folders it adds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from auditor.sweep.gitobjects import FILE, FOLDER, Entry
from auditor.sweep.types import SweepError

Tree = Callable[[str], tuple[Entry, ...]]
"""Entries of the tree of that name."""

MAX_CHANGES = 50_000
"""Files that a pull request may change; the largest real one changes under 1,000."""
MAX_SEEN = 1_000_000
"""Entries of trees that are looked at: a few small trees that hold each other many times unfold without end."""
MAX_DEPTH = 40
_STRONG = re.compile(r"(?i)^(submission\.json|train_gpt.*\.py)$")
_WEAK = re.compile(r"(?i)^(.*\.py|.*\.log|train.*\.txt|submission.*\.json)$")


@dataclass(frozen=True, slots=True)
class Changed:
    """A file that differs from the base: its path, and whether the base has none of that path."""

    path: str
    added: bool


def changes(tree: Tree, base: str | None, head: str) -> list[Changed]:
    """Files (and links) of tree ``head`` that tree ``base`` does not hold as they are, in the order of the trees.

    As ``git diff --no-renames --diff-filter=AM``. Raises `SweepError` when there are too many to be a submission.
    """
    found: list[Changed] = []
    seen = 0
    pending: list[tuple[str | None, str, str, int]] = [(base, head, "", 0)]
    while pending:
        old_tree, new_tree, prefix, depth = pending.pop()
        before = {} if old_tree is None else {entry.name: entry for entry in tree(old_tree)}
        below = []
        for entry in tree(new_tree):
            seen += 1
            old = before.get(entry.name)
            if old == entry:
                continue
            path = f"{prefix}{entry.name}"
            if entry.kind != FOLDER:
                found.append(Changed(path, old is None or old.kind == FOLDER))
            else:
                twin = old.oid if old is not None and old.kind == FOLDER else None
                below.append((twin, entry.oid, f"{path}/", depth + 1))
        pending += reversed(below)
        if len(found) > MAX_CHANGES or seen > MAX_SEEN:
            raise SweepError(f"it changes more than {MAX_CHANGES:,} files")
        if depth > MAX_DEPTH:
            raise SweepError(f"its folders nest deeper than {MAX_DEPTH} levels")
    return found


def chosen(tree: Tree, head: str, changed: list[Changed]) -> list[str]:
    """The record folders that hold an added file, else those that hold a modified one; outside ``records`` folders
    that add a ``submission.json`` beside a script. The choice for a checkout (`auditor.intake.find`) is the same."""
    listed = set(record_folders(tree, head, {c.path.split("/")[1] for c in changed if c.path.count("/") > 1}))
    added = _holding((c.path for c in changed if c.added), listed)
    return added or _strays(changed) or _holding((c.path for c in changed if not c.added), listed)


def _holding(paths: Iterable[str], folders: set[str]) -> list[str]:
    found = set()
    for path in paths:
        parts = path.split("/")
        found |= {f for n in range(2, min(len(parts), MAX_DEPTH)) if (f := "/".join(parts[:n])) in folders}
    return sorted(found)


def _strays(changed: list[Changed]) -> list[str]:
    """Folders outside ``records`` to which a ``submission.json`` and a Python file are added."""
    parts = [c.path.rpartition("/") for c in changed if c.added and not c.path.startswith("records/")]
    stated = {folder for folder, _, name in parts if name.lower() == "submission.json" and folder}
    return sorted(folder for folder in stated if any(f == folder and n.endswith(".py") for f, _, n in parts))


def record_folders(tree: Tree, root: str, only: set[str] | None = None, prefix: str = "") -> list[str]:
    """``records/<track>/<name>`` (or ``records/<name>``) below the tree ``root``; ``only``: below these of ``records``.

    The same as `auditor.intake.find.record_folders` of a checkout (a test holds them against each other).
    """
    records = next((e for e in tree(root) if e.name == "records" and e.kind == FOLDER), None)
    if records is None:
        return []
    found: list[str] = []
    for track in _subfolders(tree, records.oid):
        if only is None or track.name in only:
            found += _of_track(tree, track, f"{prefix}records/{track.name}")
    return found


def _of_track(tree: Tree, track: Entry, path: str) -> list[str]:
    children, here = _subfolders(tree, track.oid), _names(tree, track.oid)
    if not track.name.startswith("track") and (_any(here, _WEAK) or not children):
        return [path] if _worth(tree, track.oid) else []
    found = [path] if _any(here, _STRONG) or (not children and _any(here, _WEAK)) else []
    for child in children:
        if child.name == "records":  # a whole tree copied one level too deep
            found += record_folders(tree, track.oid, None, f"{path}/")
        elif _worth(tree, child.oid):
            found.append(f"{path}/{child.name}")
    return found


def subtree(tree: Tree, root: str, path: str) -> str | None:
    """Name of the tree at ``path`` below the tree ``root``; None when there is none."""
    for part in path.split("/"):
        entry = next((e for e in tree(root) if e.name == part and e.kind == FOLDER), None)
        if entry is None:
            return None
        root = entry.oid
    return root


def _names(tree: Tree, oid: str) -> list[str]:
    return [e.name for e in tree(oid) if e.kind == FILE]


def _subfolders(tree: Tree, oid: str) -> list[Entry]:
    inside = [e for e in tree(oid) if e.kind == FOLDER and not e.name.startswith((".", "__"))]
    return sorted(inside, key=lambda e: e.name)


def _any(names: list[str], pattern: re.Pattern[str]) -> bool:
    return any(pattern.match(name) for name in names)


def _worth(tree: Tree, oid: str) -> bool:
    return bool(_names(tree, oid)) or any(_names(tree, child.oid) for child in _subfolders(tree, oid))
