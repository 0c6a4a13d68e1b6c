"""The folder in which a submission runs: a private copy of what it ships, and the data beside it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from auditor.core.submission import Submission
from auditor.sandbox import Bind

RUN = "/golf/run"
"""The folder as an isolated run sees it."""
MAX_FILE = 256 << 20
MAX_TOTAL = 2 << 30


def lay_out(submission: Submission, run: Path) -> tuple[str, ...]:
    """Copy the submission's regular files into ``run``, made new; sentences on what was left out. OSError."""
    run.mkdir(parents=True)
    notes: list[str] = []
    total = 0
    root = submission.root
    for top, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in (".git", "__pycache__") and not (Path(top) / f).is_symlink())
        target = run / os.path.relpath(top, root)
        target.mkdir(exist_ok=True)
        for name in sorted(files):
            source = Path(top) / name
            relative = os.path.relpath(source, root)
            if source.is_symlink() or not source.is_file():
                notes.append(f"{relative} is no regular file: it was not copied")
                continue
            size = source.stat().st_size
            total += size
            if size > MAX_FILE or total > MAX_TOTAL:
                notes.append(f"{relative} ({size} bytes) is too large: it was not copied")
                total -= size
                continue
            shutil.copyfile(source, target / name)
            os.chmod(target / name, 0o755 if os.access(source, os.X_OK) else 0o644)
    return tuple(notes)


def link_data(data: Path, entries: tuple[str, ...], run: Path, isolated: bool) -> list[Bind]:
    """Show the data as ``data/`` in the run's folder: read-only by mounts where isolated, else by links.

    What the submission ships under such a name stays.
    """
    binds: list[Bind] = []
    place = run / "data"
    if place.is_file():
        return binds
    place.mkdir(exist_ok=True)
    for name in entries:
        target, source = place / name, data.absolute() / name
        if os.path.lexists(target):
            continue
        if not isolated:
            target.symlink_to(source)
            continue
        if source.is_dir():
            target.mkdir()
        else:
            target.touch()
        binds.append(Bind(source.resolve(), f"{RUN}/data/{name}"))
    return binds
