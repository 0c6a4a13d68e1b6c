"""A folder of folders as a source of submissions: each folder in it stands for one pull request."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

from auditor.intake.errors import IntakeError, SeveralSubmissions
from auditor.intake.find import Found, find_submission, record_folders, track_of
from auditor.intake.walk import Folder as Listing
from auditor.sweep.layout import shown
from auditor.sweep.types import Folder, Opened, Planned, Pull, SweepError

MAX_FOLDERS = 100_000
_NUMBER = re.compile(r"^[0-9]{1,9}$")
MAX_BYTES = 1 << 30
"""Bytes of one folder that its digest covers."""


class FolderSource:
    """Folders directly below a folder; links are not followed. Contents are compared by digest."""

    def __init__(self, directory: Path) -> None:
        self._dir = directory.resolve()

    def close(self) -> None:
        """Nothing is held."""

    def pulls(self) -> list[Pull]:
        """All folders, by name; one whose name is a number is that pull request. Raises `SweepError` for none."""
        try:
            inside = [p for p in self._dir.iterdir() if p.is_dir() and not p.is_symlink() and p.name[0] not in "._"]
        except OSError as error:
            raise SweepError(f"{self._dir}: {error.strerror or error}") from error
        if not inside:
            raise SweepError(f"{self._dir}: holds no folder")
        pulls = [Pull(shown(p.name), "", int(p.name) if _NUMBER.match(p.name) else None) for p in inside]
        return sorted(pulls, key=lambda p: (p.number is None, p.number or 0, p.ref))[:MAX_FOLDERS]

    def plan(self, pull: Pull) -> Planned:
        """The submissions in the folder: those of its ``records``, itself, or the folders in it."""
        root = self._dir / pull.ref
        note, paths = "", []
        try:
            paths = record_folders(root) if (root / "records").is_dir() else [self._single(root)]
        except SeveralSubmissions as error:
            paths = list(error.names)
        except IntakeError as error:
            note = str(error).replace(f"{root}", pull.ref)
        folders = tuple(Folder(shown(path), digest(root / path)) for path in paths)
        changed = datetime.fromtimestamp(int(root.stat().st_mtime), UTC).isoformat()
        note = note or ("" if folders else "no submission in it")
        return Planned(title=pull.ref, date=changed, folders=folders, note=note)

    def open(self, pull: Pull, path: str, room: str) -> Opened:
        """Point at the folder; nothing is copied."""
        root = self._dir / pull.ref
        place = (root / path).resolve()
        if not place.is_dir() or not place.is_relative_to(root):
            raise SweepError(f"{pull.ref}/{path} is no folder")
        return Opened(Found(place, place.name, track_of(place)))

    @staticmethod
    def _single(root: Path) -> str:
        found = find_submission(root, base="", name=None)
        return found.root.relative_to(root.resolve()).as_posix()


def digest(folder: Path) -> str:
    """Digest of names and contents, as far as intake lists and could read them."""
    listing = Listing(folder)
    total = hashlib.sha256(f"{folder.name}\0{folder.parent.name}\0".encode("utf-8", "surrogateescape"))
    left = MAX_BYTES
    for path, size in sorted(listing.sizes.items()):
        total.update(f"{path}\0{size}\0".encode())
        if size <= left:
            left -= size
            with (folder / path).open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
    for problem in listing.problems:
        total.update(f"{problem}\0".encode())
    return total.hexdigest()
