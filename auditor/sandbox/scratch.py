"""A private folder for one guest, and access to it that a hostile guest cannot turn against the host.

The guest may leave links, pipes and locked folders anywhere in it. So the host never opens a path in it by name: it
walks down one component at a time, follows no link, and opens regular files only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Unsafe(Exception):
    """A path in the scratch folder is not what the host laid there: a link, a pipe, a name that leads out."""


class Scratch:
    """A temporary folder, removed at the end of the ``with`` block."""

    def __init__(self, prefix: str = "golf-") -> None:
        """Make it, under the system's folder for temporary files."""
        self.path = Path(tempfile.mkdtemp(prefix=prefix))

    def __enter__(self) -> Scratch:
        """The folder itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Remove it."""
        remove(self.path)

    def write(self, relative: str, data: bytes, mode: int = 0o644) -> None:
        """Put a file there, in place of whatever stands at its path. Folders on the way are made. Unsafe on a link."""
        *folders, name = _parts(relative)
        with self._folder(folders, make=True) as folder:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            fd = os.open(name, CREATE, mode, dir_fd=folder)
            with open(fd, "wb") as file:
                file.write(data)

    def read(self, relative: str, limit: int) -> bytes:
        """At most ``limit`` bytes of a regular file. FileNotFoundError, or Unsafe for anything else."""
        *folders, name = _parts(relative)
        with self._folder(folders) as folder:
            try:
                fd = os.open(name, READ, dir_fd=folder)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise Unsafe(f"{relative}: {error.strerror}") from error
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise Unsafe(f"{relative}: not a regular file")
            with open(fd, "rb") as file:
                return file.read(limit)

    @contextlib.contextmanager
    def _folder(self, parts: list[str], make: bool = False) -> Iterator[int]:
        fd = os.open(self.path, FOLDER)
        try:
            for part in parts:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=fd)
                below = _open_folder(part, fd)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)


def _open_folder(name: str, parent: int) -> int:
    try:
        return os.open(name, FOLDER, dir_fd=parent)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unsafe(f"{name}: not a folder that may be entered ({error.strerror})") from error


def _parts(relative: str) -> list[str]:
    parts = relative.split("/")
    if not relative or any(part in ("", ".", "..") for part in parts):
        raise Unsafe(f"{relative!r}: not a plain relative path")
    return parts


def usage(folder: Path, most_files: int) -> tuple[int, int]:
    """(bytes on disk, number of entries) under a folder; follows no link; counting stops above ``most_files``."""
    size = count = 0
    waiting = [os.fspath(folder)]
    while waiting and count <= most_files:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                count += 1
                with contextlib.suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                if count > most_files:
                    break
    return size, count


def remove(folder: Path) -> None:
    """Remove a folder, however deep and whatever its modes. No link is followed. OSError when something stays."""
    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(folder)
    if os.path.lexists(folder):
        name = os.fspath(folder)
        subprocess.run(["chmod", "-R", "u+rwX", "--", name], capture_output=True, check=False)
        subprocess.run(["rm", "-rf", "--", name], capture_output=True, check=False)
    if os.path.lexists(folder):
        raise OSError(f"cannot remove {folder}")
