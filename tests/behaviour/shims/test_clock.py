from __future__ import annotations

import datetime
import logging
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from auditor.behaviour.shims import clock
from auditor.behaviour.shims.context import ShimContext, VirtualClock

REAL = time.perf_counter


@pytest.fixture(autouse=True)
def installed(ctx: ShimContext) -> Iterator[None]:
    clock.install(ctx)
    yield
    ctx.restore()


def test_every_reading_costs_a_millisecond() -> None:
    names = ("perf_counter", "monotonic", "process_time", "thread_time")
    assert [round(getattr(time, name)(), 6) for name in names] == [0.001, 0.002, 0.003, 0.004]
    assert time.time() == pytest.approx(clock.EPOCH + 0.005)
    assert time.perf_counter_ns() == 6_000_000 and time.time_ns() == round((clock.EPOCH + 0.007) * 1e9)


def test_sleeping_takes_virtual_time_only(ctx: ShimContext) -> None:
    began = REAL()
    time.sleep(3600)
    assert ctx.clock.now == 3600 and REAL() - began < 5
    with pytest.raises(ValueError, match="negative"):
        time.sleep(-1)


def test_dates_are_the_clock_s() -> None:
    day = datetime.datetime.fromtimestamp(clock.EPOCH, datetime.UTC).date()
    assert datetime.datetime.now(datetime.UTC).date() == day == datetime.datetime.utcnow().date()
    assert datetime.datetime.now().year == datetime.date.today().year == 2026
    assert time.strftime("%Y") == "2026" and time.localtime().tm_year == 2026 and "2026" in time.ctime()
    assert time.strftime("%Y", time.gmtime(0)) == "1970" and "1970" in time.asctime(time.gmtime(0))


def test_dates_keep_their_types() -> None:
    now = datetime.datetime.now()
    assert isinstance(now, datetime.datetime) and isinstance(now, datetime.date)
    later = now + datetime.timedelta(seconds=1)
    assert isinstance(later, datetime.datetime) and later > now
    assert datetime.datetime.strptime("2026-01-02", "%Y-%m-%d").month == 1
    assert datetime.datetime.fromisoformat("2026-01-02T03:04:05").hour == 3


def test_another_thread_does_not_move_the_clock(ctx: ShimContext) -> None:
    seen: list[float] = []

    def look() -> None:
        seen.extend(time.perf_counter() for _ in range(5))
        time.sleep(10)
        seen.append(time.perf_counter())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert ctx.clock.now == 0.0 and seen == sorted(seen) and seen[-1] > 10


def test_a_polling_loop_waits_for_its_thread(ctx: ShimContext) -> None:
    done = threading.Event()
    release = threading.Timer(0.2, done.set)
    release.start()
    while not done.is_set():
        time.sleep(0.01)
    assert ctx.clock.now < 2.0


def test_locks_queues_and_subprocesses_keep_real_time() -> None:
    began = REAL()
    with pytest.raises(queue.Empty):
        queue.Queue[int]().get(timeout=0.2)
    assert not threading.Event().wait(0.1)
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", "import time; time.sleep(30)"], timeout=0.3, check=False)
    assert 0.5 < REAL() - began < 10


def test_log_records_carry_virtual_time() -> None:
    record = logging.LogRecord("x", 20, "f", 1, "m", (), None)
    assert abs(record.created - clock.EPOCH) < 10


def test_two_runs_read_the_same_times(ctx: ShimContext) -> None:
    first = [time.time(), time.perf_counter()]
    ctx.restore()
    ctx.clock = VirtualClock()
    clock.install(ctx)
    assert first == [time.time(), time.perf_counter()]
