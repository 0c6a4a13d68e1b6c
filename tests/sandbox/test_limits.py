"""Each limit, shown to hold on a guest that exceeds it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from auditor.sandbox import Level, Limits
from auditor.sandbox.watch import descendants
from tests.sandbox.support import guest, needs_bubblewrap, no_isolation

pytestmark = needs_bubblewrap
MIB = 1 << 20

FORK = """
import os, time
made = 0
try:
    while made < 500:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        made += 1
except OSError as error:
    print(made, type(error).__name__, flush=True)
os._exit(0)
"""


def test_a_fork_bomb_is_bounded(scratch: Path) -> None:
    done = guest(scratch, FORK, limits=Limits(processes=20, wall_seconds=20))
    assert done.stdout.split()[1:] == [b"BlockingIOError"] and int(done.stdout.split()[0]) <= 20


def test_threads_count_as_processes(scratch: Path) -> None:
    script = """
        import threading, time
        made = 0
        try:
            while made < 100:
                threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
                made += 1
        except RuntimeError:
            print("bounded", made <= 20)
    """
    assert guest(scratch, script, limits=Limits(processes=20, wall_seconds=20)).stdout == b"bounded True\n"


def test_without_isolation_the_watchdog_bounds_processes(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_isolation(monkeypatch)
    script = FORK.replace("made < 500", "made < 40").replace("os._exit(0)\n\"\"\"", "time.sleep(30)").replace(
        "except OSError", "    time.sleep(30)\nexcept OSError"
    )
    done = guest(scratch, script, limits=Limits(processes=20, wall_seconds=20), unsandboxed=True)
    assert done.stopped == "limit of 20 processes" and done.level is Level.NONE


def test_one_process_cannot_take_more_memory(scratch: Path) -> None:
    script = "x = bytearray(10 << 20); print('some'); x = bytearray(400 << 20); print('GOT')"
    done = guest(scratch, script, limits=Limits(memory_bytes=200 * MIB))
    assert done.stdout == b"some\n" and b"MemoryError" in done.stderr


def test_many_processes_cannot_take_more_memory_together(scratch: Path) -> None:
    script = """
        import os, time
        for _ in range(6):
            if os.fork() == 0:
                held = b"x" * (60 << 20)
                time.sleep(30)
        time.sleep(30)
    """
    done = guest(scratch, script, limits=Limits(memory_bytes=200 * MIB, wall_seconds=20))
    assert done.stopped == f"memory limit of {200 * MIB} bytes over all processes"
    assert done.wall_seconds < 10


def test_shared_memory_is_bounded(scratch: Path) -> None:
    script = """
        for name in ("/dev/shm/big", "/tmp/big"):
            try:
                with open(name, "wb") as file:
                    for _ in range(200):
                        file.write(bytes(1 << 20))
                print("GOT")
            except OSError as error:
                print(error.errno)
    """
    assert guest(scratch, script, limits=Limits(tmp_bytes=20 * MIB)).stdout == b"28\n28\n"


def test_a_file_cannot_grow_beyond_its_limit(scratch: Path) -> None:
    script = """
        try:
            with open("/golf/big", "wb") as file:
                for _ in range(100):
                    file.write(bytes(1 << 20))
            print("GOT")
        except OSError as error:
            print(error.errno)
    """
    assert guest(scratch, script, limits=Limits(file_bytes=10 * MIB)).stdout == b"27\n"
    assert (scratch / "big").stat().st_size == 10 * MIB


def test_many_files_cannot_fill_the_disk(scratch: Path) -> None:
    script = """
        import time
        for number in range(60):
            with open(f"/golf/{number}", "wb") as file:
                file.write(bytes(1 << 20))
        time.sleep(30)
    """
    done = guest(scratch, script, limits=Limits(scratch_bytes=20 * MIB, wall_seconds=20))
    assert done.stopped == f"limit of {20 * MIB} bytes in the scratch folder"


def test_the_number_of_files_is_bounded(scratch: Path) -> None:
    script = """
        import itertools
        for number in itertools.count():
            open(f"/golf/{number}", "wb").close()
    """
    done = guest(scratch, script, limits=Limits(scratch_files=500, wall_seconds=20))
    assert done.stopped == "limit of 500 files in the scratch folder"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_endless_output_is_cut_and_ended(scratch: Path, stream: str) -> None:
    script = f"import sys\nwhile True: sys.{stream}.write('x' * 10_000)"
    done = guest(scratch, script, limits=Limits(output_bytes=2 * MIB, wall_seconds=20))
    assert done.stopped == f"limit of {2 * MIB} bytes on {stream}"
    assert len(getattr(done, stream)) == 2 * MIB


@pytest.mark.parametrize("isolated", [True, False])
def test_endless_sleep_ends_at_the_wall_limit(scratch: Path, isolated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not isolated:
        no_isolation(monkeypatch)
    script = "import signal, time\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\ntime.sleep(60)"
    before = time.monotonic()
    done = guest(scratch, script, limits=Limits(wall_seconds=0.5), unsandboxed=not isolated)
    assert done.stopped == "wall time limit of 0.5 s" and done.status != 0
    assert 0.5 <= time.monotonic() - before < 5


def test_endless_work_ends_at_the_cpu_limit(scratch: Path) -> None:
    done = guest(scratch, "while True: pass", limits=Limits(cpu_seconds=1, wall_seconds=20))
    assert done.status != 0 and done.stopped is None and done.wall_seconds < 10


def test_limits_cannot_be_raised_again(scratch: Path) -> None:
    script = """
        import resource
        for name in ("RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE", "RLIMIT_NPROC"):
            which = getattr(resource, name)
            try:
                resource.setrlimit(which, (resource.getrlimit(which)[1] + 1,) * 2)
                print("GOT", name)
            except (ValueError, OSError):
                pass
    """
    done = guest(scratch, script)
    assert done.status == 0 and done.stdout == b""


def test_peak_memory_is_what_the_guest_took(scratch: Path) -> None:
    script = "import time\nx = bytearray(b'x') * (150 << 20)\ntime.sleep(0.4)\ndel x\ntime.sleep(0.2)"
    taken = guest(scratch, script).peak_memory
    assert 150 * MIB < taken < 200 * MIB


def test_nothing_is_left_to_watch() -> None:
    assert not descendants(2**22)
