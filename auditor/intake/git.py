"""Ask git which files a checkout changes, without letting the (untrusted) repository run anything."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 20.0
MAX_OUTPUT = 16 << 20
_SAFE = (
    "-c",
    "core.fsmonitor=",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.pager=cat",
    "-c",
    "core.attributesFile=/dev/null",
    "-c",
    "diff.external=",
    "-c",
    "protocol.allow=never",
    "-c",
    "safe.directory=*",
    "-c",
    "core.untrackedCache=false",
    "-c",
    "core.alternateRefsCommand=",
    "-c",
    "gpg.program=false",
    "-c",
    "core.sshCommand=false",
    "--no-pager",
)
SAFE_GIT = ("git", *_SAFE)
"""The beginning of every git command: nothing that a repository's own configuration names is run."""
DEFAULT_BASE = "origin/main"
FALLBACK_BASES = (DEFAULT_BASE, "upstream/main", "origin/master", "main", "master")


@dataclass(frozen=True, slots=True)
class Changes:
    """Files added (``A``) and modified (``M``) against ``base``, relative to the top of the checkout."""

    top: Path
    base: str
    added: tuple[str, ...]
    modified: tuple[str, ...]


def checkout_top(path: Path) -> Path | None:
    """The nearest folder at or above ``path`` with a ``.git``; git itself is not asked."""
    for folder in (path, *path.parents):
        if (folder / ".git").exists():
            return folder
    return None


def changes(top: Path, base: str) -> Changes | str:
    """What HEAD adds to ``base`` since they parted; a sentence when that cannot be told.

    Only the default base has stand-ins: where a ref was asked for, no other is compared in its place.
    """
    choices = FALLBACK_BASES if base == DEFAULT_BASE else (base,)
    used = next((b for b in choices if not b.startswith("-") and _resolves(top, b)), None)
    if used is None:
        return f"git knows no {base!r} here, so what the pull request adds cannot be told"
    result = _git(top, "diff", "--no-ext-diff", "--no-textconv", "--no-renames", "--name-status", "-z",
                  "--diff-filter=AM", f"{used}...HEAD", "--")
    if result is None:
        return f"git could not compare HEAD with {used!r}"
    fields = result.decode("utf-8", "replace").split("\0")
    pairs = list(zip(fields[0::2], fields[1::2], strict=False))
    return Changes(top, used, tuple(f for s, f in pairs if s == "A"), tuple(f for s, f in pairs if s == "M"))


def _resolves(top: Path, name: str) -> bool:
    return _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}") is not None


def environment() -> dict[str, str]:
    """The environment of every git command: no configuration but the repository's, no network, no prompt."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ATTR_NOSYSTEM": "1",
    }


def _git(top: Path, *args: str) -> bytes | None:
    """Standard output of one git command; None when it fails, takes too long or is not installed."""
    try:
        run = subprocess.run(
            [*SAFE_GIT, "-C", str(top), *args], capture_output=True, timeout=TIMEOUT_S, env=environment(),
            stdin=subprocess.DEVNULL, check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout[:MAX_OUTPUT] if run.returncode == 0 else None
