"""Ctrl-C, a request to end and a lost terminal come as KeyboardInterrupt, and wait while something is put away."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ASKED = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT and SIGTERM interrupt, also where whoever started this ignores them; SIGHUP where it is not ignored."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _heard()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heard() -> tuple[signal.Signals, ...]:
    """SIGHUP is left to ``nohup``, which ignores it."""
    return ASKED if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (*ASKED, signal.SIGHUP)


@contextmanager
def quiet(later: bool = False) -> Iterator[None]:
    """Interrupts do nothing while a clean-up is done; with ``later`` one that came is raised after it."""
    came: list[int] = []
    before: dict[signal.Signals, Any] = {}
    with contextlib.suppress(ValueError):  # not the main thread: nobody is interrupted there
        before = {number: signal.signal(number, lambda n, _: came.append(n)) for number in _heard()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came and later:
        raise KeyboardInterrupt
