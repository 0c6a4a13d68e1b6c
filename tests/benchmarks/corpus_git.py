"""Read submission folders out of a bare copy of the competition's repository, without a work tree."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

BLOB_LIMIT = 40 << 20
"""Bytes: larger files are laid out empty; no audit reads them."""


@dataclass(frozen=True, slots=True)
class Folder:
    """One record folder at the head of one pull request."""

    pr: int
    path: str


class Corpus:
    """A bare repository with ``refs/pull/N/head`` and ``main``; one long-lived ``git cat-file`` serves all reads."""

    def __init__(self, git_dir: Path) -> None:
        self._git = ["git", "-C", str(git_dir)]
        self._blobs = subprocess.Popen(
            [*self._git, "cat-file", "--batch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def close(self) -> None:
        """End the reader process."""
        if self._blobs.stdin:
            self._blobs.stdin.close()
        self._blobs.wait()

    def pull_requests(self) -> list[int]:
        """Numbers of all pull requests, ascending."""
        refs = self._run("for-each-ref", "--format=%(refname)", "refs/pull/*/head").decode()
        return sorted(int(line.split("/")[2]) for line in refs.split())

    def folders(self, pr: int) -> list[Folder]:
        """Record folders in which the pull request adds or changes a file against where it left ``main``."""
        head = f"refs/pull/{pr}/head"
        try:
            base = self._run("merge-base", "main", head).decode().strip()
        except subprocess.CalledProcessError:
            return []
        names = self._run("diff", "--name-only", "--no-renames", "--diff-filter=AM", "-z", base, head).decode(
            "utf-8", "surrogateescape"
        )
        parts = [PurePosixPath(name).parts for name in names.split("\0") if name]
        found = {"/".join(p[:3]) for p in parts if len(p) > 3 and p[0] == "records"}
        return [Folder(pr, path) for path in sorted(found)]

    def lay_out(self, folder: Folder, out: Path) -> Path:
        """Write the folder below ``out`` under its own path and return it; symbolic links stay links."""
        listing = self._run("ls-tree", "-r", "-z", f"refs/pull/{folder.pr}/head", f"{folder.path}/")
        for entry in listing.decode("utf-8", "surrogateescape").split("\0"):
            if not entry:
                continue
            info, _, name = entry.partition("\t")
            mode, kind, digest = info.split()
            if kind == "blob":
                self._write(out / name, mode, digest)
        place = out / folder.path
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _write(self, target: Path, mode: str, digest: str) -> None:
        data = self._blob(digest)
        if data is None:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if mode == "120000":
            target.symlink_to(data.decode("utf-8", "surrogateescape"))
        else:
            target.write_bytes(data if len(data) <= BLOB_LIMIT else b"")

    def _blob(self, digest: str) -> bytes | None:
        """The blob's bytes, None when this copy lists but does not hold it."""
        assert self._blobs.stdin is not None and self._blobs.stdout is not None
        self._blobs.stdin.write(f"{digest}\n".encode())
        self._blobs.stdin.flush()
        header = self._blobs.stdout.readline().split()
        if len(header) < 3:
            return None
        data = self._blobs.stdout.read(int(header[2]))
        self._blobs.stdout.read(1)
        return data

    def _run(self, *arguments: str) -> bytes:
        return subprocess.run([*self._git, *arguments], capture_output=True, check=True).stdout


def stream(corpus: Corpus, only: set[int] | None, limit: int | None) -> Iterator[Folder]:
    """All folders of all (or the chosen) pull requests, in order, at most ``limit``."""
    count = 0
    for pr in corpus.pull_requests():
        if only is not None and pr not in only:
            continue
        for folder in corpus.folders(pr):
            if limit is not None and count >= limit:
                return
            count += 1
            yield folder
