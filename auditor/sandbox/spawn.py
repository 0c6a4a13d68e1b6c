"""Starts the launcher, inside bubblewrap or without, as one Popen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from auditor.sandbox import bubblewrap, userns
from auditor.sandbox.bubblewrap import Bind
from auditor.sandbox.limits import Limits

LAUNCHER = "sandbox/launch.py"
PLAIN_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/golf",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": bubblewrap.GUEST_PACKAGE_ROOT,
}
"""What every guest gets; nothing of the host's environment is among it."""


def spawn(
    isolated: bool,
    argv: Sequence[str],
    *,
    binds: Iterable[Bind] = (),
    cwd: str = "/golf",
    env: Mapping[str, str] | None = None,
    limits: Limits,
    pass_fds: Sequence[int] = (),
    bwrap: str = "bwrap",
) -> subprocess.Popen[bytes]:
    """Start ``argv``; stdin, stdout and stderr are pipes of bytes. OSError when it cannot be started."""
    extra = [Bind(Path(p), p) for p in bubblewrap.extra_site_folders()]
    bound = [*extra, *binds]
    full = {**PLAIN_ENV, **(env or {})}
    full["PYTHONPATH"] = os.pathsep.join([full["PYTHONPATH"], *(bind.guest for bind in extra)])
    as_root = isolated and os.geteuid() == 0
    launched = _launched(isolated, as_root, argv, limits, pass_fds)
    if not isolated:
        names = Names(bound)
        there = [names.real(word) for word in launched]
        clear = {name: names.real_list(value) for name, value in full.items()}
        return _popen(there, clear, pass_fds, cwd=names.real(cwd))
    mapping = userns.Mapping() if as_root else None
    line = bubblewrap.command(launched, binds=bound, cwd=cwd, env=full, limits=limits, bwrap=bwrap,
                              sync_fds=mapping.guest_fds if mapping else None)  # fmt: skip
    if mapping is None:
        return _popen(line, {}, pass_fds)
    return _popen_mapped(line, mapping, bound, pass_fds)


def _launched(
    isolated: bool, as_root: bool, argv: Sequence[str], limits: Limits, pass_fds: Sequence[int]
) -> list[str]:
    root = bubblewrap.GUEST_PACKAGE_ROOT + "/" + bubblewrap.PACKAGE.name if isolated else str(bubblewrap.PACKAGE)
    spec = {
        "isolated": isolated,
        "keep": list(pass_fds),
        "uid": bubblewrap.GUEST_ID if as_root else None,
        "rlimits": limits.rlimits(isolated),
    }
    return [sys.executable, "-I", "-S", f"{root}/{LAUNCHER}", json.dumps(spec), "--", *argv]


def _popen_mapped(
    line: list[str], mapping: userns.Mapping, binds: Sequence[Bind], pass_fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    try:
        for bind in binds:
            if bind.writable:
                userns.hand_over(bind.host)
        popen = _popen(line, {}, (*pass_fds, *mapping.guest_fds), groups=())
    except OSError:
        mapping.abandon()
        raise
    try:
        mapping.complete()
    except OSError as error:
        popen.kill()
        said = popen.communicate()[1].decode("utf-8", "replace").strip()
        raise OSError(said or str(error)) from error
    return popen


def _popen(
    line: Sequence[str],
    env: Mapping[str, str],
    pass_fds: Sequence[int],
    cwd: str | None = None,
    groups: Sequence[int] | None = None,
) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(line, env=env, pass_fds=tuple(pass_fds), cwd=cwd, extra_groups=groups, bufsize=0,
                            stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)  # fmt: skip


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
