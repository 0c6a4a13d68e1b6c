"""Files written below a folder that the submission may have filled: no link in it is followed out of the folder."""

from __future__ import annotations

import contextlib
import os
import posixpath
from pathlib import Path

MTIME = 1_750_000_000
"""Seconds since the epoch that every toy file and its folder are dated with, so that two runs see the same."""
GUEST_ROOT = "/golf"
GUEST_CWD = "/golf/run"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def host_relative(guest: str) -> str:
    """Where a guest path lies below the scratch folder, as a relative path.

    Relative guest paths start at the guest's current directory; /golf is the scratch folder itself, any other absolute
    path lies below ``abs``. ``..`` is resolved by name, so the result never leaves the scratch folder.

    Raises:
        ValueError: an empty path, or one with a NUL.
    """
    if not guest or "\0" in guest:
        raise ValueError(f"not a path: {guest!r}")
    path = "/" + posixpath.normpath(posixpath.join(GUEST_CWD, guest)).lstrip("/")
    if path == GUEST_ROOT or path.startswith(GUEST_ROOT + "/"):
        return path[len(GUEST_ROOT) :].lstrip("/")
    return posixpath.join("abs", path.lstrip("/"))


def host_path(root: Path, guest: str) -> Path:
    """The host path of a guest path (see ``host_relative``)."""
    return root / host_relative(guest)


def write_inside(root: Path, relative: str, content: bytes) -> None:
    """Write ``root/relative`` in one step (a reader sees the old file or the new one), folders made, dates fixed.

    ``root`` is trusted, everything below it is not.

    Raises:
        OSError: a part of the path is a link or a file, or the disk refuses.
        ValueError: a path that leaves ``root``.
    """
    *folders, name = relative.split("/")
    if not name or any(part in ("", ".", "..") for part in (*folders, name)):
        raise ValueError(f"not a path below the folder: {relative!r}")
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            below = _enter(descriptor, folder)
            os.close(descriptor)
            descriptor = below
        _write_at(descriptor, name, content)
        os.utime(descriptor, (MTIME, MTIME))
    finally:
        os.close(descriptor)


def _enter(descriptor: int, folder: str) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, dir_fd=descriptor)
    return os.open(folder, _FOLDER, dir_fd=descriptor)


def _write_at(descriptor: int, name: str, content: bytes) -> None:
    scratch = name + ".part"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(scratch, dir_fd=descriptor)
    with os.fdopen(os.open(scratch, _FILE, 0o644, dir_fd=descriptor), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.utime(stream.fileno(), (MTIME, MTIME))
    os.replace(scratch, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
