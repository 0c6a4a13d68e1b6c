"""A sign of life on a terminal, for what takes more than two seconds; silent everywhere else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from auditor.core.text import plain

if TYPE_CHECKING:
    from rich.status import Status

AFTER_SECONDS = 2.0


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show a spinner with ``what`` on stderr once `AFTER_SECONDS` have passed, if stderr is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    shown: list[Status] = []

    def show() -> None:
        from rich.console import Console
        from rich.text import Text

        status = Console(stderr=True).status(Text(plain(what, 60)))
        status.start()
        shown.append(status)

    timer = threading.Timer(AFTER_SECONDS, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for status in shown:
            status.stop()
