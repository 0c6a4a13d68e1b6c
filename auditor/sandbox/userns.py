"""For root: a user namespace in which the guest is neither the machine's root nor any of its users.

The kernel's limit on the number of processes does not bind the real root, whatever it is called inside. So two users
are mapped: 0 (the real root, as which bubblewrap can reach the folders to bind) and 1000, a user that nothing else has,
to which the launcher changes before the guest starts.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from auditor.sandbox.bubblewrap import GUEST_ID

FIRST_HOST_ID = 2_000_000_000
SPREAD = 100_000


def host_id() -> int:
    """The user id, as the host sees it, of guests that this process starts."""
    return FIRST_HOST_ID + os.getpid() % SPREAD


def hand_over(folder: Path) -> None:
    """Give a folder, with all that is in it, to the guest. Links are not followed."""
    own = host_id()
    os.chown(folder, own, own, follow_symlinks=False)
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(top, name), own, own, follow_symlinks=False)


class Mapping:
    """The two pipes by which bubblewrap waits until its users are mapped."""

    def __init__(self) -> None:
        """Open them."""
        self._wait, self._go = os.pipe()
        self._told, self._tell = os.pipe()
        self.guest_fds = (self._wait, self._tell)

    def complete(self) -> None:
        """After bubblewrap has started: map the users and let it go on. OSError when it failed before."""
        os.close(self._wait)
        os.close(self._tell)
        try:
            child = self._child()
            lines = f"0 0 1\n{GUEST_ID} {host_id()} 1\n"
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{child}/{name}").write_text(lines, encoding="ascii")
            os.write(self._go, b"x")
        finally:
            os.close(self._told)
            os.close(self._go)

    def abandon(self) -> None:
        """When bubblewrap could not be started at all."""
        for fd in (self._wait, self._go, self._told, self._tell):
            os.close(fd)

    def _child(self) -> int:
        text = b""
        while b"}" not in text:
            part = os.read(self._told, 4096)
            if not part:
                raise OSError("bubblewrap ended before its users were mapped")
            text += part
        return int(json.loads(text)["child-pid"])
