"""What a stand-in raises where it cannot stand in."""

from __future__ import annotations


class GuestUnsupported(RuntimeError):
    """The script needs something that this machine lacks and no shim imitates; the run is unknown, never a pass."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not imitated on this machine: {what}")
        self.what = what


class GuestOffline(ConnectionError):
    """The script reached for the network, of which there is none."""

    def __init__(self, host: str) -> None:
        super().__init__(f"no network in the sandbox: {host}")
        self.host = host
