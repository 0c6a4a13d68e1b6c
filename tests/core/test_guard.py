"""A step that raises or computes too long becomes a failure that names itself."""

from __future__ import annotations

import threading

import pytest

from auditor.core.guard import Answer, Failure, contained


def test_an_answer_comes_back() -> None:
    assert contained(lambda: 3, seconds=5) == Answer(3)


def test_an_exception_names_type_message_and_place() -> None:
    def step() -> None:
        raise ValueError("bad\nvalue")

    failure = contained(step, seconds=5)
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("ValueError at test_guard.py:") and failure.reason.endswith("bad value")
    assert "Traceback" in failure.trace


def test_runaway_recursion_is_contained() -> None:
    def step() -> None:
        step()

    failure = contained(step, seconds=5)
    assert isinstance(failure, Failure) and failure.reason.startswith("RecursionError")


def test_a_step_that_swallows_exceptions_is_still_stopped() -> None:
    def step() -> None:
        while True:
            try:
                sum(range(1000))
            except Exception:  # a hostile input must not be able to hold the audit up
                continue

    failure = contained(step, seconds=0.05)
    assert isinstance(failure, Failure) and "computing time" in failure.reason


def test_an_interrupt_is_not_contained() -> None:
    def step() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        contained(step, seconds=5)


def test_it_works_outside_the_main_thread() -> None:
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(contained(lambda: 4, seconds=5)))
    thread.start()
    thread.join()
    assert answers == [Answer(4)]
