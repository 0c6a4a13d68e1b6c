"""Files that a run writes into its folder, seen by looking there again and again. No link is followed, none opened."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

WEIGHTS = frozenset({
    ".pt", ".pth", ".ptz", ".bin", ".xz", ".lzma", ".zst", ".br", ".zlib", ".z", ".gz", ".npz", ".npy", ".safetensors",
    ".ckpt", ".pkl", ".int8", ".int6", ".int5", ".int4", ".model", ".weights",
})  # fmt: skip
MOST_ENTRIES = 5000
DEPTH = 4
LEFT_OUT = frozenset({"data", "__pycache__", ".git", "logs"})


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was not there, or not so, at the launch. ``path`` is relative to the run's folder."""

    path: str
    size: int
    modified: int
    """Nanoseconds, of the file's own time."""

    @property
    def weights(self) -> bool:
        """Whether its name is one of weights."""
        return PurePosixPath(self.path).suffix.lower() in WEIGHTS


class Watch:
    """Looks at one folder; `look` gives what is new since the last look."""

    def __init__(self, folder: Path) -> None:
        """What is there now does not count."""
        self._folder = folder
        self._bytes = 0
        self._known = {w.path: w for w in self._list()}
        self._before = dict(self._known)
        self._last = dict(self._known)
        self._scored = 0
        self._held: dict[str, Written] = {}

    def look(self, scored: int = 0) -> list[Written]:
        """Files that appeared since the last look, in the order of their times.

        ``scored``: how many scores were printed until now; what lay there at the look before a new one is held.
        """
        now = {w.path: w for w in self._list()}
        fresh = [w for path, w in now.items() if path not in self._known]
        if scored != self._scored:
            self._scored, self._held = scored, self._last
        self._known |= now
        self._last = now
        return sorted(fresh, key=lambda w: (w.modified, w.path))

    def written(self) -> list[Written]:
        """All files that are not as they were at the beginning, the latest first.

        Weights that have shrunk or gone since the last score stand as they lay there when it was taken.
        """
        now = {w.path: w for w in self._list()} | {w.path: w for w in self.shrunk()}
        changed = [w for w in now.values() if self._before.get(w.path) != w]
        return sorted(changed, key=lambda w: (-w.modified, w.path))

    def shrunk(self) -> list[Written]:
        """Weights that were larger when the last score was taken than they are now, as they were then."""
        now = {w.path: w.size for w in self._list()}
        return [w for w in self._held.values() if w.weights and w.size > now.get(w.path, 0)]

    @property
    def bytes(self) -> int:
        """Of all files at the last look."""
        return self._bytes

    def _list(self) -> list[Written]:
        """Every regular file below; descriptors are walked, so that a link laid meanwhile leads nowhere."""
        found: list[Written] = []
        entries = 0
        for top, folders, files, fd in os.fwalk(self._folder, follow_symlinks=False):
            below = os.path.relpath(top, self._folder)
            deep = 0 if below == "." else below.count("/") + 1
            folders[:] = [] if deep >= DEPTH else [f for f in folders if f not in LEFT_OUT]
            for name in files:
                with contextlib.suppress(OSError):  # it went meanwhile
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        path = name if below == "." else f"{below}/{name}"
                        found.append(Written(path, status.st_size, status.st_mtime_ns))
            entries += len(files) + len(folders)
            if entries >= MOST_ENTRIES:
                break
        self._bytes = sum(one.size for one in found)
        return found


def artifact_of(written: list[Written], stated: tuple[int, ...]) -> Written | None:
    """The artifact among the files that a run left: the one whose size the log states, else the smallest of weights.

    A raw checkpoint lies beside it as a rule and is larger.
    """
    for size in stated:
        exact = [w for w in written if w.size == size]
        if exact:
            return exact[0]
    weights = [w for w in written if w.weights and w.size > 0]
    packed = [w for w in weights if PurePosixPath(w.path).suffix.lower() not in (".pt", ".pth", ".ckpt", ".model")]
    return min(packed or weights, key=lambda w: w.size, default=None)
