"""Every clock of Python reads the virtual clock, so that a schedule driven by wallclock repeats to the step.

Only the main thread moves the shared clock: a background loader that looks at the time cannot change the schedule.
Libraries that bound ``monotonic`` at import (``threading``, ``queue``, ``selectors``, ``subprocess``) keep real time,
and so do their timeouts.
"""

from __future__ import annotations

import datetime
import logging
import threading
import time
from datetime import date as RealDate
from datetime import datetime as RealDatetime
from typing import Any

from auditor.behaviour.shims.context import ShimContext

EPOCH = 1_772_000_000.0
"""Seconds since 1970 at which every run begins (25 February 2026, UTC)."""
_REAL_SLEEP = time.sleep


class Reader:
    """Readings of the virtual clock: shared by the main thread, by themselves for every other one."""

    def __init__(self, ctx: ShimContext) -> None:
        self._clock = ctx.clock
        self._main = threading.get_ident()
        self._own = threading.local()

    def elapsed(self) -> float:
        """Seconds since the start of the run; costs one query."""
        if threading.get_ident() == self._main:
            return self._clock.read()
        self._own.extra = getattr(self._own, "extra", 0.0) + self._clock.per_query
        return self._clock.now + float(self._own.extra)

    def wall(self) -> float:
        """Seconds since 1970."""
        return EPOCH + self.elapsed()

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass; other threads get real time too, or a polling loop would spin through hours."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        if threading.get_ident() == self._main:
            self._clock.advance(seconds)
        else:
            self._own.extra = getattr(self._own, "extra", 0.0) + seconds
        _REAL_SLEEP(min(seconds, 0.05) if threading.active_count() > 1 else 0)


def install(ctx: ShimContext) -> None:
    """Patch ``time``, ``datetime`` and the timestamps of ``logging``."""
    reader = Reader(ctx)
    for name in ("perf_counter", "monotonic", "process_time", "thread_time"):
        ctx.patch(time, name, reader.elapsed)
        ctx.patch(time, f"{name}_ns", _nanoseconds(reader.elapsed))
    ctx.patch(time, "time", reader.wall)
    ctx.patch(time, "time_ns", _nanoseconds(reader.wall))
    ctx.patch(time, "clock_gettime", lambda clock: reader.wall() if clock == time.CLOCK_REALTIME else reader.elapsed())
    ctx.patch(time, "clock_gettime_ns", lambda clock: round(time.clock_gettime(clock) * 1e9))
    ctx.patch(time, "sleep", reader.sleep)
    _patch_calendar(ctx, reader)
    _patch_datetime(ctx, reader)
    ctx.patch(logging, "_startTime", EPOCH)


def _nanoseconds(seconds: Any) -> Any:
    return lambda: round(seconds() * 1e9)


def _patch_calendar(ctx: ShimContext, reader: Reader) -> None:
    """``localtime()`` and the like without a moment mean now; with one they are left alone."""
    local, universal, text, formatted = time.localtime, time.gmtime, time.ctime, time.strftime
    describe = time.asctime

    def at(real: Any) -> Any:
        return lambda seconds=None: real(reader.wall() if seconds is None else seconds)

    for name, real in (("localtime", local), ("gmtime", universal), ("ctime", text)):
        ctx.patch(time, name, at(real))
    ctx.patch(time, "strftime", lambda form, *t: formatted(form, *(t or (local(reader.wall()),))))
    ctx.patch(time, "asctime", lambda *t: describe(*(t or (local(reader.wall()),))))


def _patch_datetime(ctx: ShimContext, reader: Reader) -> None:
    class DateMeta(type):
        """Real dates count as instances of the patched classes."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, RealDatetime if cls.__name__ == "datetime" else RealDate)

    class VirtualDate(RealDate, metaclass=DateMeta):
        """``datetime.date`` whose today is the virtual one."""

        @classmethod
        def today(cls) -> Any:
            """The date of the virtual clock."""
            return cls.fromtimestamp(reader.wall())

    class VirtualDatetime(RealDatetime, metaclass=DateMeta):
        """``datetime.datetime`` whose now is the virtual one."""

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            """The time of the virtual clock."""
            return cls.fromtimestamp(reader.wall(), tz)

        @classmethod
        def today(cls) -> Any:
            """The time of the virtual clock, without a zone."""
            return cls.fromtimestamp(reader.wall())

        @classmethod
        def utcnow(cls) -> Any:
            """The time of the virtual clock in UTC, without a zone."""
            return cls.fromtimestamp(reader.wall(), datetime.UTC).replace(tzinfo=None)

    for kind, name in ((VirtualDate, "date"), (VirtualDatetime, "datetime")):
        kind.__name__ = kind.__qualname__ = name
        kind.__module__ = "datetime"
        ctx.patch(datetime, name, kind)
