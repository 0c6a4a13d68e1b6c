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


class Handshake:
    """The pipes by which bubblewrap tells its inner process and, for root, waits until its users are mapped."""

    def __init__(self, as_root: bool) -> None:
        """Open them."""
        self._told, self.tell = os.pipe()
        self.wait: int | None = None
        self._go: int | None = None
        if as_root:
            self.wait, self._go = os.pipe()

    @property
    def guest_fds(self) -> tuple[int, ...]:
        """The descriptors that bubblewrap inherits."""
        return (self.tell,) if self.wait is None else (self.tell, self.wait)

    def complete(self) -> int:
        """After bubblewrap has started: map the users, let it go on, and return its process 1 as the host numbers it.

        Raises:
            OSError: bubblewrap failed before.
        """
        for fd in self.guest_fds:
            os.close(fd)
        try:
            child = self._child()
            if self._go is not None:
                lines = f"0 0 1\n{GUEST_ID} {host_id()} 1\n"
                for name in ("uid_map", "gid_map"):
                    Path(f"/proc/{child}/{name}").write_text(lines, encoding="ascii")
                os.write(self._go, b"x")
            return child
        finally:
            self._close(self._told, self._go)

    def abandon(self) -> None:
        """When bubblewrap could not be started at all."""
        self._close(self._told, self._go, *self.guest_fds)

    @staticmethod
    def _close(*fds: int | None) -> None:
        for fd in fds:
            if fd is not None:
                os.close(fd)

    def _child(self) -> int:
        text = b""
        while b"}" not in text:
            part = os.read(self._told, 4096)
            if not part:
                raise OSError("bubblewrap ended before it had made the sandbox")
            text += part
        return int(json.loads(text)["child-pid"])
