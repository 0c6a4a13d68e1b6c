"""Small bare repositories, written by git's own plumbing: pull requests as refs, no checkout, no network."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

TRACK = "records/track_10min_16mb"
SCRIPT = """\
import torch
import torch.nn.functional as F


def evaluate(model, tokens):
    with torch.no_grad():
        return F.cross_entropy(model(tokens[:-1]), tokens[1:])


def main():
    tokens = torch.load("fineweb_val_000000.bin")
    model = torch.nn.Linear(4, 4)
    print(f"val_bpb:{evaluate(model, tokens).item():.4f}")


main()
"""
STATED = {"author": "Ada", "name": "An example", "val_bpb": 1.2, "date": "2026-04-01"}


def git(directory: Path, *arguments: str, data: bytes | None = None) -> str:
    """Standard output of one git command; raises when it fails."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", "--git-dir", str(directory), *arguments], input=data, capture_output=True, check=True, env=environment
    )
    return done.stdout.decode("utf-8", "replace").strip()


def submission(script: str = SCRIPT, **stated: object) -> dict[str, str]:
    """The files of one small submission."""
    log = "step:10/10 val_loss:2.0000 val_bpb:1.2000\n"
    text = json.dumps(STATED | stated)
    return {"train_gpt.py": script, "submission.json": text, "train.log": log, "README.md": "x\n"}


def under(folder: str, files: dict[str, str]) -> dict[str, str]:
    """The files with ``folder`` before their paths."""
    return {f"{folder}/{name}": text for name, text in files.items()}


@dataclass
class Repository:
    """A bare repository under construction; commits by ``git fast-import``."""

    path: Path
    heads: dict[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, path: Path) -> Repository:
        """An empty one, with one commit on ``main``."""
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True)
        made = cls(path)
        made.commit("refs/heads/main", {"README.md": "the contest\n", "train_gpt.py": "x = 1\n"}, message="Begin")
        return made

    def commit(
        self,
        ref: str,
        files: Mapping[str, str | None],
        *,
        parents: tuple[str, ...] = (),
        message: str = "A change",
        author: str = "Ada Example",
        when: int = 1_775_000_000,
    ) -> str:
        """A commit at ``ref`` that sets these files (None: deletes) on top of its first parent; its name."""
        body = message.encode()
        lines = [
            f"commit {ref}\n".encode(),
            f"author {author} <a@example.org> {when} +0200\n".encode(),
            f"committer {author} <a@example.org> {when} +0200\n".encode(),
            b"data %d\n%s\n" % (len(body), body),
        ]
        if parents:
            lines += [f"{'from' if n == 0 else 'merge'} {p}\n".encode() for n, p in enumerate(parents)]
        for name, text in files.items():
            if text is None:
                lines.append(f"D {json.dumps(name)}\n".encode())
            else:
                data = text.encode()
                lines += [f"M 100644 inline {json.dumps(name)}\n".encode(), b"data %d\n%s\n" % (len(data), data)]
        git(self.path, "fast-import", "--quiet", "--force", data=b"".join(lines))
        self.heads[ref] = git(self.path, "rev-parse", ref)
        return self.heads[ref]

    @property
    def main(self) -> str:
        """The commit at ``main``."""
        return git(self.path, "rev-parse", "main")

    def pull(self, number: int, files: Mapping[str, str | None], **more: object) -> str:
        """Pull request ``number``: one commit on top of ``main``; its name."""
        base = str(more.pop("base", "")) or self.main
        return self.commit(f"refs/pull/{number}/head", files, parents=(base,), **more)  # type: ignore[arg-type]

    def merge(self, number: int, title: str = "") -> str:
        """Merge a pull request into ``main``; the merge commit."""
        head = self.heads[f"refs/pull/{number}/head"]
        names = git(self.path, "ls-tree", "-r", "--name-only", head).splitlines()
        files: dict[str, str | None] = {name: git(self.path, "show", f"{head}:{name}") + "\n" for name in names}
        message = f"Merge pull request #{number} from someone/branch\n\n{title}"
        return self.commit("refs/heads/main", files, parents=(self.main, head), message=message)

    def blob(self, data: bytes) -> str:
        """Write a blob."""
        return git(self.path, "hash-object", "-w", "--stdin", data=data)

    def tree(self, *entries: tuple[str, bytes, str]) -> str:
        """Write a tree of (mode, name, object), whatever the names are: nothing is checked."""
        data = b"".join(b"%s %s\0%s" % (mode.encode(), name, bytes.fromhex(oid)) for mode, name, oid in entries)
        return git(self.path, "hash-object", "-w", "-t", "tree", "--literally", "--stdin", data=data)

    def commit_tree(self, ref: str, tree: str, parent: str = "") -> str:
        """A commit of a tree that exists, at ``ref``."""
        who = "Ada <a@example.org> 1775000000 +0000"
        text = f"tree {tree}\n" + (f"parent {parent}\n" if parent else "") + f"author {who}\ncommitter {who}\n\nodd\n"
        oid = git(self.path, "hash-object", "-w", "-t", "commit", "--literally", "--stdin", data=text.encode())
        git(self.path, "update-ref", ref, oid)
        self.heads[ref] = oid
        return oid
