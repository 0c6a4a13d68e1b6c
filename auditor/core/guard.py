"""Limits on one step of an audit: what it raises, and how long it computes, is contained and named."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Generic, TypeVar

T = TypeVar("T")


class TimeUp(BaseException):
    """A step used up its CPU seconds. No ``except Exception`` on the way can swallow it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step gave no answer: one sentence, and the traceback for ``--verbose``."""

    reason: str
    trace: str


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What a step returned."""

    value: T


def contained(step: Callable[[], T], *, seconds: float) -> Answer[T] | Failure:
    """Run ``step`` for at most ``seconds`` of CPU time; any exception of it becomes a `Failure`.

    This is the one place that catches everything: a crash of one witness or rule must not take the others along,
    and it comes back as a failure that the caller has to report, never as an empty answer.
    """
    try:
        with _limited(seconds):
            return Answer(step())
    except TimeUp:
        return Failure(f"it used up its {seconds:g} s of computing time", traceback.format_exc())
    except Exception as error:
        return Failure(_sentence(error), traceback.format_exc())


def _sentence(error: Exception) -> str:
    """Type, message and innermost place of an exception, on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    message = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{where}" + (f": {message}" if message else "")


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise `TimeUp` after ``seconds`` of this process's CPU time; only the main thread can be interrupted."""
    if not hasattr(signal, "SIGVTALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def up(_signal: int, _frame: FrameType | None) -> None:
        raise TimeUp

    before = signal.signal(signal.SIGVTALRM, up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
