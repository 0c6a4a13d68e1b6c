"""Starts the launcher, inside bubblewrap or without, as one Popen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.sandbox import bubblewrap, userns
from auditor.sandbox.bubblewrap import Bind
from auditor.sandbox.limits import Limits
from auditor.sandbox.scratch import Unsafe

PLAIN_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/golf",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": bubblewrap.GUEST_PACKAGE_ROOT,
}
"""What every guest gets; nothing of the host's environment is among it."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """A started process; ``first`` is process 1 of its namespace as the host numbers it (None without isolation)."""

    popen: subprocess.Popen[bytes]
    first: int | None = None


def spawn(
    isolated: bool,
    argv: Sequence[str],
    *,
    binds: Iterable[Bind] = (),
    cwd: str = "/golf",
    env: Mapping[str, str] | None = None,
    limits: Limits,
    pass_fds: Sequence[int] = (),
    bwrap: str | None = None,
) -> Spawned:
    """Start ``argv``; stdin, stdout and stderr are pipes of bytes.

    Raises:
        OSError: it cannot be started.
        Unsafe: a folder to bind is reached by a link inside another one.
    """
    extra = [Bind(Path(p), p) for p in bubblewrap.extra_site_folders()]
    bound = [*extra, *binds]
    full = {**PLAIN_ENV, **(env or {})}
    full["PYTHONPATH"] = os.pathsep.join([full["PYTHONPATH"], *(bind.guest for bind in extra)])
    as_root = isolated and os.geteuid() == 0
    spec: dict[str, Any] = {
        "isolated": isolated,
        "keep": list(pass_fds),
        "uid": bubblewrap.GUEST_ID if as_root else None,
        "rlimits": limits.rlimits(isolated),
        "cwd": cwd,
    }
    if not isolated:
        names = Names(bound)
        spec["cwd"] = names.real(cwd)
        clear = {name: names.real_list(value) for name, value in full.items()}
        there = [names.real(word) for word in argv]
        return Spawned(_popen(launcher(str(bubblewrap.PACKAGE), spec, there), clear, pass_fds))
    launched = launcher(f"{bubblewrap.GUEST_PACKAGE_ROOT}/{bubblewrap.PACKAGE.name}", spec, argv)
    check_hosts(bound)
    shake = userns.Handshake(as_root)
    line = bubblewrap.command(launched, binds=bound, env=full, limits=limits,
                              bwrap=bwrap or shutil.which("bwrap") or "bwrap",
                              tell_fd=shake.tell, wait_fd=shake.wait)  # fmt: skip
    try:
        if as_root:
            for bind in bound:
                if bind.writable:
                    userns.hand_over(bind.host)
        popen = _popen(line, {}, (*pass_fds, *shake.guest_fds), groups=() if as_root else None)
    except OSError:
        shake.abandon()
        raise
    return Spawned(popen, _complete(shake, popen))


def _complete(shake: userns.Handshake, popen: subprocess.Popen[bytes]) -> int:
    try:
        return shake.complete()
    except OSError as error:
        popen.kill()
        said = popen.communicate()[1].decode("utf-8", "replace").strip()
        raise OSError(said or str(error)) from error


def launcher(package: str, spec: Mapping[str, Any], argv: Sequence[str]) -> list[str]:
    """The command that applies ``spec`` (see `auditor.sandbox.launch`) and becomes ``argv``."""
    return [sys.executable, "-I", "-S", f"{package}/sandbox/launch.py", json.dumps(spec), "--", *argv]


def _popen(
    line: Sequence[str],
    env: Mapping[str, str],
    pass_fds: Sequence[int],
    groups: Sequence[int] | None = None,
) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(line, env=env, pass_fds=tuple(pass_fds), extra_groups=groups, bufsize=0,
                            stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)  # fmt: skip


def check_hosts(binds: Sequence[Bind]) -> None:
    """Look at what is to be bound.

    Raises:
        FileNotFoundError: something is missing.
        Unsafe: a path inside a writable folder is reached through a link, which an earlier guest may have laid.
    """
    for bind in binds:
        os.stat(bind.host)
    for top in (bind.host for bind in binds if bind.writable):
        for host in (bind.host for bind in binds if bind.host == top or top in bind.host.parents):
            below = [host, *host.parents][: len(host.parts) - len(top.parts) + 1]
            if any(path.is_symlink() for path in below):
                raise Unsafe(f"{host}: a link stands where a folder to bind was laid")


class Names:
    """Without isolation nothing can be mounted: a path under a guest name is replaced by the host's."""

    def __init__(self, binds: Iterable[Bind]) -> None:
        """The later bind wins where two have the same name."""
        pairs = {bind.guest.rstrip("/"): str(bind.host) for bind in binds}
        pairs[bubblewrap.GUEST_PACKAGE_ROOT] = str(bubblewrap.PACKAGE.parent)
        self._pairs = sorted(pairs.items(), key=lambda pair: -len(pair[0]))

    def real(self, text: str) -> str:
        """``text``, with a guest's name at its start replaced."""
        for guest, host in self._pairs:
            if text == guest or text.startswith(guest + "/"):
                return host + text[len(guest) :]
        return text

    def real_list(self, text: str) -> str:
        """The same for each part of a list such as PATH."""
        return os.pathsep.join(self.real(part) for part in text.split(os.pathsep))
