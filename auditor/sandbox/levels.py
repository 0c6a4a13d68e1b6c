"""What isolation this machine can give, found by trying it, and why not where it cannot."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from auditor.sandbox.limits import Limits
from auditor.sandbox.spawn import spawn

NEEDED_OPTIONS = ("--disable-userns", "--size", "--perms")
TRIAL_SECONDS = 20.0
SWITCHES = (
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "an AppArmor profile for bwrap (Ubuntu package apparmor-profiles), "
        "or sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)
"""Kernel settings under /proc/sys that forbid user namespaces: (name, forbidding value, what permits them)."""


class Level(StrEnum):
    """How far a guest is kept from the machine."""

    BUBBLEWRAP = "bubblewrap"
    """Own user, process, network, IPC and host-name namespaces, read-only system, private scratch, limits."""
    NONE = "none"
    """Limits and an empty environment only: the guest can read and write what the user can, and use the network."""


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found: the level, a sentence on why, what to do about it, and the version of bubblewrap."""

    level: Level
    reason: str
    hint: str = ""
    tool_version: str | None = None


class NoIsolation(Exception):
    """Untrusted code is not started, because nothing would isolate it."""


@functools.cache
def detect() -> Detection:
    """Try the sandbox, with this interpreter in it. Takes some 0.1 s the first time."""
    bwrap = shutil.which("bwrap")
    if not sys.platform.startswith("linux"):
        return Detection(Level.NONE, f"bubblewrap needs Linux, this is {sys.platform}", "use a Linux machine")
    if bwrap is None:
        return Detection(Level.NONE, "bubblewrap is not installed", "apt-get install bubblewrap (Debian, Ubuntu)")
    version, options = _about(bwrap)
    missing = [option for option in NEEDED_OPTIONS if option not in options]
    if missing:
        reason = f"bubblewrap {version} does not know {', '.join(missing)}"
        return Detection(Level.NONE, reason, "install bubblewrap 0.8 or later", version)
    problem = try_it(bwrap)
    if problem:
        return Detection(Level.NONE, f"bubblewrap does not work here: {problem}", set_up_hint(), version)
    return Detection(Level.BUBBLEWRAP, "tried: it isolates this interpreter", tool_version=version)


def _about(bwrap: str) -> tuple[str, str]:
    def says(flag: str) -> str:
        done = subprocess.run([bwrap, flag], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    return says("--version").strip().removeprefix("bubblewrap "), says("--help")


def try_it(bwrap: str) -> str:
    """Start this interpreter isolated, with all that a guest gets. Empty when it ran, else what was said."""
    try:
        popen = spawn(True, [sys.executable, "-c", "print('ran')"], cwd="/", limits=Limits(), bwrap=bwrap).popen
        said, complaint = popen.communicate(timeout=TRIAL_SECONDS)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.communicate()
        return f"no answer in {TRIAL_SECONDS:.0f} s"
    except OSError as error:
        return str(error)
    if popen.returncode == 0 and said == b"ran\n":
        return ""
    lines = complaint.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"exit status {popen.returncode}"


def set_up_hint(proc: Path = Path("/proc/sys"), root: Path = Path("/")) -> str:
    """What the machine's settings say about user namespaces, as advice."""
    for name, forbidding, remedy in SWITCHES:
        setting = proc / name
        if setting.is_file() and setting.read_text(encoding="ascii").strip() == forbidding:
            return f"user namespaces are switched off here; as root: {remedy}"
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return "in a container: start it with --privileged, or permit unshare and mount in its seccomp profile"
    return "user namespaces and mounts must be permitted to this user"
