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
        self._known = {w.path: w for w in self._list()}
        self._before = dict(self._known)

    def look(self) -> list[Written]:
        """Files that appeared since the last look, in the order of their times."""
        now = {w.path: w for w in self._list()}
        fresh = [w for path, w in now.items() if path not in self._known]
        self._known |= now
        return sorted(fresh, key=lambda w: (w.modified, w.path))

    def written(self) -> list[Written]:
        """All files that are not as they were at the beginning, the latest first."""
        changed = [w for w in self._list() if self._before.get(w.path) != w]
        return sorted(changed, key=lambda w: (-w.modified, w.path))

    def _list(self) -> list[Written]:
        found: list[Written] = []
        waiting = [("", 0)]
        entries = 0
        while waiting and entries < MOST_ENTRIES:
            below, depth = waiting.pop()
            with contextlib.suppress(OSError), os.scandir(self._folder / below) as folder:
                for entry in folder:
                    entries += 1
                    name = f"{below}/{entry.name}" if below else entry.name
                    status = _status(entry)
                    if status is None:
                        continue
                    if stat.S_ISDIR(status.st_mode) and depth < DEPTH and entry.name not in LEFT_OUT:
                        waiting.append((name, depth + 1))
                    elif stat.S_ISREG(status.st_mode):
                        found.append(Written(name, status.st_size, status.st_mtime_ns))
                    if entries >= MOST_ENTRIES:
                        break
        return found


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:  # it went meanwhile
        return None


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
