"""The bubblewrap command line: what the guest sees of the machine, and under which names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auditor.sandbox.limits import Limits

PACKAGE = Path(__file__).resolve().parent.parent
GUEST_PACKAGE_ROOT = "/opt/golf"
"""Where the guest finds the folder that holds the package ``auditor`` (for PYTHONPATH)."""
GUEST_ID = 1000
LINKED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
SYSTEM = ("/usr", "/nix/store", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",
          "/etc/localtime")  # fmt: skip
OURS = ("passwd", "group", "hosts", "nsswitch.conf")
"""Files of /etc that tell nothing of the machine, from the package's own folder ``sandbox/etc``."""
NAMESPACES = ("--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--hostname", "golf",
              "--cap-drop", "ALL", "--clearenv")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bind:
    """A folder or file of the host, under the absolute path ``guest`` inside. Read-only unless ``writable``.

    ``device``: a device file below /dev that the guest may use, which a plain bind does not permit.
    """

    host: Path
    guest: str
    writable: bool = False
    device: bool = False


def command(
    argv: Sequence[str],
    *,
    binds: Iterable[Bind] = (),
    env: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    tell_fd: int | None = None,
    wait_fd: int | None = None,
    bwrap: str = "bwrap",
) -> list[str]:
    """The command that runs ``argv`` isolated.

    Args:
        argv: the launcher's command line, paths as seen inside.
        binds: what the guest gets besides the system, the interpreter and this package, later ones over earlier ones.
        env: the guest's whole environment.
        limits: of these only ``tmp_bytes`` counts here; the launcher sets the rest.
        tell_fd: descriptor on which bubblewrap tells the number of its inner process.
        wait_fd: for root, descriptor on which it waits until its users are mapped, see `auditor.sandbox.userns`.
        bwrap: the program.
    """
    size = str((limits or Limits()).tmp_bytes)
    line = [bwrap, *NAMESPACES, *_user(wait_fd), "--perms", "0755", "--dir", "/etc", *_system()]
    line += ["--info-fd", str(tell_fd)] if tell_fd is not None else []
    line += ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/dev/shm", "/tmp"):
        line += ["--perms", "1777", "--size", size, "--tmpfs", folder]
    binds = tuple(binds)
    for bind in (b for b in binds if b.device):
        line += ["--dev-bind", str(bind.host), bind.guest]
    line += ["--remount-ro", "/dev"]
    ours = [Bind(Path(prefix), prefix) for prefix in interpreter_prefixes()]
    ours.append(Bind(PACKAGE, f"{GUEST_PACKAGE_ROOT}/{PACKAGE.name}"))
    for bind in (*ours, *(b for b in binds if not b.device)):
        for parent in reversed(Path(bind.guest).parents[:-1]):  # by itself bubblewrap locks them to others
            line += ["--perms", "0755", "--dir", str(parent)]
        line += ["--bind" if bind.writable else "--ro-bind", str(bind.host), bind.guest]
    line += ["--remount-ro", "/", "--chdir", "/"]
    for name, value in (env or {}).items():
        line += ["--setenv", name, value]
    return [*line, "--", *argv]


def _user(wait_fd: int | None) -> list[str]:
    """The guest is user 1000. Root maps two users by itself and the launcher changes from the first to the second."""
    if wait_fd is None:
        return ["--disable-userns", "--uid", str(GUEST_ID), "--gid", str(GUEST_ID)]
    rights = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return ["--uid", "0", "--gid", "0", "--userns-block-fd", str(wait_fd), *rights]


def _system() -> list[str]:
    line: list[str] = []
    for path in SYSTEM:
        if os.path.exists(path):
            line += ["--ro-bind", path, path]
    for name in OURS:
        line += ["--ro-bind", str(PACKAGE / "sandbox/etc" / name), f"/etc/{name}"]
    for name in LINKED:
        if os.path.islink(f"/{name}"):
            line += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
        elif os.path.isdir(f"/{name}"):
            line += ["--ro-bind", f"/{name}", f"/{name}"]
    return line


def interpreter_prefixes() -> list[str]:
    """Folders outside /usr that this interpreter (a virtual environment's too) is made of, parents first."""
    real = os.path.dirname(os.path.dirname(os.path.realpath(sys.executable)))
    wanted = {os.path.abspath(p) for p in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, real)}
    home = os.path.expanduser("~")
    return [p for p in sorted(wanted) if not _inside(p, "/usr") and not _inside(home, p)]


def extra_site_folders() -> list[str]:
    """Package folders on ``sys.path`` that no prefix holds (a user's own): bound too, and put on PYTHONPATH."""
    prefixes = (*interpreter_prefixes(), "/usr")
    found = [p for p in sys.path if p.endswith(("site-packages", "dist-packages")) and os.path.isdir(p)]
    return [p for p in found if not any(_inside(p, prefix) for prefix in prefixes)]


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
