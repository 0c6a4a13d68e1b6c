"""How far a sweep is, with the time left: a bar on a terminal, else a plain line now and then."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from auditor.core.text import visible

EVERY_S = 15.0
"""Between two plain lines."""


class Progress(Protocol):
    """What a sweep tells of its course."""

    def phase(self, what: str, total: int) -> None:
        """A new part begins, of ``total`` steps."""
        ...

    def step(self, what: str) -> None:
        """One step of it is done."""
        ...


class Silent:
    """Tells nothing."""

    def phase(self, what: str, total: int) -> None:
        """Nothing."""

    def step(self, what: str) -> None:
        """Nothing."""


class Lines:
    """Plain lines on stderr, at the beginning, every `EVERY_S` seconds, and at the end of a part."""

    def __init__(self) -> None:
        self._what, self._total, self._done = "", 0, 0
        self._start = self._told = time.monotonic()

    def phase(self, what: str, total: int) -> None:
        """Announce the part."""
        self._what, self._total, self._done = what, total, 0
        self._start = self._told = time.monotonic()
        self._print(f"{what}: {total:,}")

    def step(self, what: str) -> None:
        """Count, and print when it is time."""
        self._done += 1
        at = time.monotonic()
        if self._done == self._total or at - self._told >= EVERY_S:
            self._told = at
            spent = at - self._start
            left = spent / self._done * (self._total - self._done)
            self._print(f"{self._what}: {self._done:,} of {self._total:,}, {clock(spent)} spent, {clock(left)} left")

    @staticmethod
    def _print(text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            print(f"golf-audit: {text}", file=sys.stderr, flush=True)


def short(ref: str) -> str:
    """A ref in at most 12 characters: ``#123`` for a pull request's."""
    found = re.search(r"/pull/(\d+)/", ref)
    return f"#{found.group(1)}" if found else visible(ref)[-12:]


def clock(seconds: float) -> str:
    """``h:mm:ss``."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


@contextmanager
def telling() -> Iterator[Progress]:
    """Progress on stderr, as rich as stderr is."""
    if sys.stderr is None:
        yield Silent()
        return
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(10), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[last]}", markup=False),
    )  # fmt: skip
    with Bars(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=120.0) as bars:
        yield _Bars(bars)


class _Bars:
    """One bar of rich for each part."""

    def __init__(self, bars: object) -> None:
        from rich.progress import Progress as Bars
        from rich.progress import TaskID

        assert isinstance(bars, Bars)
        self._bars = bars
        self._task: TaskID | None = None

    def phase(self, what: str, total: int) -> None:
        """A new bar in place of the last."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(what, total=total, last="")

    def step(self, what: str) -> None:
        """Advance it."""
        if self._task is not None:
            self._bars.update(self._task, advance=1, last=short(what))
