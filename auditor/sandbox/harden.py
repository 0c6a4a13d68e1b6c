"""For a guest that forks others: its memory closed to them, though they run as the same user."""

from __future__ import annotations

import ctypes

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36


def harden() -> None:
    """Close ``/proc/PID/mem`` and the like of this process (and of later forks, until they exec) to other processes.

    ``ptrace`` and ``process_vm_writev`` are refused to every guest anyway, but this file is not a call of its own.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, *[ctypes.c_ulong(0)] * 4) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that they can be waited for. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), *[ctypes.c_ulong(0)] * 3) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
