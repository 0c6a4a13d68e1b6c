"""One real run: started in a session of its own, isolated where that can be had, read line by line by our clock.

The process that is started is the sandbox's: bubblewrap, whose namespace dies with its first process, or without
isolation the launcher that stays as reaper of all orphans. Either ends everything when the harness itself dies.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO

from auditor.sandbox import Bind, Limits, watch
from auditor.sandbox.spawn import spawn
from auditor.sandbox.watch import Seen

CHUNK = 65_536
MAX_LINE = 1 << 16
"""Bytes after which a line is cut in two."""
MAX_OUTPUT = 32 << 20
MOST_LINES = 200_000
"""Bytes and lines of both streams; a run that prints more is killed."""
DRAIN_SECONDS = 2.0
GONE_SECONDS = 15.0
PASSED = ("LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES",
          "NVIDIA_DRIVER_CAPABILITIES")  # fmt: skip
"""Of the harness's environment a run gets these, which tell where CUDA is, and nothing else."""
HUGE = 1 << 50
LIMITS = Limits(
    cpu_seconds=10_000_000, wall_seconds=1e9, memory_bytes=HUGE, processes=16_384, file_bytes=64 << 30,
    tmp_bytes=16 << 30, open_files=65_536,
)  # fmt: skip
"""Of a real run: its times are the harness's matter, memory and processors the machine's."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of output. ``stream`` is ``out`` or ``err``."""

    seconds: float
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start."""

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    isolated: bool
    binds: tuple[Bind, ...] = ()


@dataclass(slots=True)
class _Stream:
    name: str
    pipe: IO[bytes]
    rest: bytearray = field(default_factory=bytearray)


class Process:
    """A started run. Use it in a ``with`` block, in the main thread: it dies with the thread that started it."""

    def __init__(self, launch: Launch) -> None:
        """Start it. OSError when it cannot be started."""
        limits = LIMITS
        spawned = spawn(launch.isolated, launch.argv, binds=launch.binds, cwd=launch.cwd, env=launch.env, limits=limits)
        self.begun = time.monotonic()
        self._popen = spawned.popen
        self.pid = spawned.popen.pid
        self._first: Seen | None = watch.identify(spawned.first) if spawned.first else None
        self._printed = self._lines = 0
        assert self._popen.stdin and self._popen.stdout and self._popen.stderr
        self._popen.stdin.close()
        self._streams = [_Stream("out", self._popen.stdout), _Stream("err", self._popen.stderr)]
        self._selector = selectors.DefaultSelector()
        for stream in self._streams:
            os.set_blocking(stream.pipe.fileno(), False)
            self._selector.register(stream.pipe, selectors.EVENT_READ, stream)

    def __enter__(self) -> Process:
        """The run itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Kill what is left and close the pipes."""
        try:
            self.kill()
        finally:
            self._selector.close()
            for stream in self._streams:
                stream.pipe.close()

    @property
    def seconds(self) -> float:
        """Since the launch."""
        return time.monotonic() - self.begun

    @property
    def too_much(self) -> bool:
        """Whether it printed more than `MAX_OUTPUT` bytes or `MOST_LINES` lines."""
        return self._printed > MAX_OUTPUT or self._lines > MOST_LINES

    def poll(self) -> int | None:
        """Its exit status (negative: the signal), None while it runs."""
        return self._popen.poll()

    def lines(self, wait: float) -> list[Line]:
        """What was printed by now, whole lines in their order; waits up to ``wait`` seconds for any."""
        found: list[Line] = []
        if not self._selector.get_map():
            time.sleep(min(wait, 0.05) if self.poll() is None else 0.0)
            return found
        for key, _ in self._selector.select(wait):
            found += self._read(key.data)
        return found

    def rest(self) -> list[Line]:
        """After the end: everything that was still to be read, ends of lines that never came included."""
        until = time.monotonic() + DRAIN_SECONDS
        found: list[Line] = []
        while self._selector.get_map() and time.monotonic() < until:
            found += self.lines(0.05)
        for stream in self._streams:
            if stream.rest:
                found.append(self._line(stream, bytes(stream.rest)))
                stream.rest.clear()
        return found

    def kill(self) -> None:
        """Kill it with everything that it started. OSError when something survives."""
        gone = True
        if self._popen.returncode is None:
            gone = watch.kill_tree(self.pid, GONE_SECONDS)
            self._popen.wait(GONE_SECONDS)
        if self._first is not None:  # first process of a namespace: it is gone only when all others are
            gone = watch.wait_gone({self._first}, time.monotonic() + GONE_SECONDS)
        if not gone:
            raise OSError(f"processes of the run {self.pid} survived being killed")

    def _read(self, stream: _Stream) -> list[Line]:
        try:
            data = stream.pipe.read(CHUNK)
        except BlockingIOError:
            return []
        if data is None:
            return []
        if not data:
            self._selector.unregister(stream.pipe)
            return []
        self._printed += len(data)
        stream.rest += data
        found = []
        while (end := stream.rest.find(b"\n")) >= 0 or len(stream.rest) > MAX_LINE:
            end = end if 0 <= end <= MAX_LINE else MAX_LINE
            found.append(self._line(stream, bytes(stream.rest[:end])))
            del stream.rest[: end + (stream.rest[end : end + 1] == b"\n")]
        return found

    def _line(self, stream: _Stream, data: bytes) -> Line:
        self._lines += 1
        return Line(self.seconds, stream.name, data.decode("utf-8", "replace").replace("\0", "\\0"))


def environment(settings: Mapping[str, str], seed: int, program: str, isolated: bool) -> dict[str, str]:
    """The whole environment of a run: where CUDA and the interpreter are, the launch settings, the seed."""
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    folders = [os.path.dirname(program), "/usr/local/cuda/bin", "/usr/local/bin", "/usr/bin", "/bin"]
    plain = {
        "PATH": os.pathsep.join(folders), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "PYTHONPATH": "",
        "HOME": "/golf", "TMPDIR": "/tmp", "SEED": str(seed),
    }  # fmt: skip
    if isolated:
        plain |= {"NCCL_SOCKET_IFNAME": "lo", "GLOO_SOCKET_IFNAME": "lo"}
    return {**passed, **settings, **plain}


def command(program: str, script: str, argv: Sequence[str], launcher: str, processes: int) -> tuple[str, ...]:
    """The launch: ``torchrun --standalone --nproc_per_node=N``, or the script plainly."""
    if launcher == "python":
        return (program, script, *argv)
    torchrun = (program, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={max(processes, 1)}")
    return (*torchrun, script, *argv)


def with_seed(argv: Sequence[str], seed: int) -> tuple[str, ...]:
    """Arguments with the value of ``--seed`` replaced, where they have it."""
    made = list(argv)
    for index, word in enumerate(made):
        if word == "--seed" and index + 1 < len(made):
            made[index + 1] = str(seed)
        elif word.startswith("--seed="):
            made[index] = f"--seed={seed}"
    return tuple(made)


def answers(launch: Launch, seconds: float) -> tuple[int | None, list[Line]]:
    """Run something short to its end: (status, None where it was killed after ``seconds``; its lines)."""
    with Process(launch) as process:
        found: list[Line] = []
        while process.poll() is None and process.seconds < seconds:
            found += process.lines(0.1)
        status = process.poll()
        process.kill()
        return status, found + process.rest()
