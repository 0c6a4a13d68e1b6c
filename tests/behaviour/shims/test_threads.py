from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from auditor.behaviour.shims import threads  # noqa: E402
from auditor.behaviour.shims.context import ShimContext  # noqa: E402


def seen_by_thread() -> list[str]:
    """The torch functions that a mode of this thread sees in a pool's and in a plain thread."""
    calls: list[str] = []

    class Watching(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            calls.append(func.__name__)
            return func(*args, **(kwargs or {}))

    with Watching():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(torch.zeros, 2).result()
        thread = threading.Thread(target=torch.ones, args=(2,))
        thread.start()
        thread.join()
    return calls


def test_without_the_shim_a_thread_escapes_the_mode() -> None:
    assert seen_by_thread() == []


def test_a_thread_runs_under_the_modes_of_its_starter(ctx: ShimContext) -> None:
    threads.install(ctx)
    assert seen_by_thread() == ["zeros", "ones"]


def test_a_subclass_with_its_own_run_too(ctx: ShimContext) -> None:
    threads.install(ctx)
    calls: list[str] = []

    class Watching(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            calls.append(func.__name__)
            return func(*args, **(kwargs or {}))

    class Mine(threading.Thread):
        def run(self) -> None:
            torch.zeros(1)

    with Watching():
        thread = Mine()
        thread.start()
        thread.join()
    assert calls == ["zeros"]
