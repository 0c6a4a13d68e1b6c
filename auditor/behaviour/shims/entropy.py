"""Everything that would differ from run to run (entropy, process ids, host names, directory order) is fixed."""

from __future__ import annotations

import hashlib
import os
import platform
import random
import socket
import sys
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

from auditor.behaviour.shims.context import ShimContext

PID, HOST, CPUS = 4242, "golf", 8


class Stream:
    """Bytes that look random and are the same in every run with the same seed."""

    def __init__(self, seed: int) -> None:
        self._seed, self._count = seed, 0

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        if size < 0:
            raise ValueError("negative argument not allowed")
        out = b""
        while len(out) < size:
            out += hashlib.sha256(f"{self._seed}:{self._count}".encode()).digest()
            self._count += 1
        return out[:size]


def install(ctx: ShimContext) -> None:
    """Patch the sources of entropy and seed the global generators with ``ctx.seed``."""
    stream = Stream(ctx.seed)
    ctx.patch(os, "urandom", stream.take)
    ctx.patch(random, "_urandom", stream.take)
    if hasattr(os, "getrandom"):
        ctx.patch(os, "getrandom", lambda size, flags=0: stream.take(size))
    ctx.patch(uuid, "uuid1", lambda node=None, clock_seq=None: uuid.UUID(bytes=stream.take(16), version=1))
    ctx.patch(uuid, "getnode", lambda: 0x02_42_00_00_00_01)
    _patch_random(ctx, stream)
    _patch_machine(ctx)
    _patch_folders(ctx)
    _seed_generators(ctx, stream)


def _patch_random(ctx: ShimContext, stream: Stream) -> None:
    real = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        real(self, int.from_bytes(stream.take(32), "big") if a is None else a, version)

    ctx.patch(random.Random, "seed", seed)
    ctx.patch(random, "seed", random._inst.seed)


def _seed_generators(ctx: ShimContext, stream: Stream) -> None:
    random.seed(ctx.seed)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(ctx.seed % 2**32)
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return
    torch.manual_seed(ctx.seed)

    def seed() -> int:
        value = int.from_bytes(stream.take(7), "big")
        torch.manual_seed(value)
        return value

    ctx.patch(torch, "seed", seed)
    ctx.patch(torch.random, "seed", seed)


def _patch_machine(ctx: ShimContext) -> None:
    """Process ids, names and sizes of the machine; a forked child keeps its real id."""
    getpid, base = os.getpid, os.getpid()
    ctx.patch(os, "getpid", lambda: PID if getpid() == base else getpid())
    ctx.patch(os, "getppid", lambda: PID - 1)
    ctx.patch(os, "cpu_count", lambda: CPUS)
    ctx.patch(socket, "gethostname", lambda: HOST)
    ctx.patch(socket, "getfqdn", lambda name="": name or HOST)
    ctx.patch(platform, "node", lambda: HOST)
    ctx.patch(tempfile, "_name_sequence", _names())


def _names() -> Iterator[str]:
    count = 0
    while True:
        yield f"golf{count:04d}"
        count += 1


class _SortedScan:
    """What ``os.scandir`` returns, in order of name."""

    def __init__(self, entries: list[Any]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> _SortedScan:
        return self

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> _SortedScan:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held open."""


def _patch_folders(ctx: ShimContext) -> None:
    listdir, scandir = os.listdir, os.scandir

    def scan(path: Any = ".") -> _SortedScan:
        with scandir(path) as found:
            return _SortedScan(sorted(found, key=lambda entry: entry.name))

    ctx.patch(os, "listdir", lambda path=".": sorted(listdir(path)))
    ctx.patch(os, "scandir", scan)
