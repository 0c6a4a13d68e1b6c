"""How much a guest may use. Each limit says who enforces it: the kernel per process, or the host's watchdog over all.

Memory was measured with torch 2.13 (CPU) imported: 697 MiB of address space, 226 MiB of private data. ``RLIMIT_AS``
counts mapped library files and reservations that are never touched, which a CUDA build of torch makes by the gigabyte,
so it stops honest runs. ``RLIMIT_DATA`` (Linux 4.7) counts private writable memory only: that is what is set here, per
process. Shared memory escapes it: ``memfd_create`` is refused by the launcher's filter, /tmp and /dev/shm are file
systems of fixed size, and the watchdog adds up what all processes hold together.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

MIB = 1 << 20
NO_CORE = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one sandbox. Times in seconds, sizes in bytes."""

    cpu_seconds: int = 120
    """Kernel, per process: SIGKILL."""
    wall_seconds: float = 120.0
    """Watchdog: everything is killed."""
    memory_bytes: int = 2048 * MIB
    """Kernel, per process: allocations fail. Watchdog: the sum over all processes; everything is killed."""
    processes: int = 64
    """Kernel (5.14 or later: per user namespace), over the sandbox: processes and threads together. At level ``none``
    by the watchdog alone."""
    file_bytes: int = 256 * MIB
    """Kernel: size of any one file."""
    output_bytes: int = 16 * MIB
    """Watchdog: stderr (and captured stdout), each; everything is killed."""
    scratch_bytes: int = 1024 * MIB
    """Watchdog: sum over the writable folders; everything is killed."""
    scratch_files: int = 20_000
    """Watchdog: number of files and folders there."""
    tmp_bytes: int = 256 * MIB
    """Kernel: size of /tmp and of /dev/shm, each (bubblewrap only)."""
    open_files: int = 512
    """Kernel, per process."""

    def rlimits(self, isolated: bool) -> list[tuple[int, int]]:
        """Pairs (resource, value) for the launcher, which sets soft and hard limit to the value.

        The number of processes is left out without isolation: there it would count those of the whole user.
        """
        pairs = [
            (resource.RLIMIT_CPU, self.cpu_seconds),
            (resource.RLIMIT_DATA, self.memory_bytes),
            (resource.RLIMIT_FSIZE, self.file_bytes),
            (resource.RLIMIT_NOFILE, self.open_files),
            (resource.RLIMIT_CORE, NO_CORE),
        ]
        return [*pairs, (resource.RLIMIT_NPROC, self.processes)] if isolated else pairs
