"""Clocks that wait for the GPU: a launch of kernels returns long before their work is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


def synchronise(device: torch.device) -> None:
    """Wait until ``device`` has done what was asked of it; nothing to do on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class TrainClock:
    """Milliseconds of training: stands still while validation or a checkpoint is made.

    ``now`` gives seconds; another clock may be given for tests.
    """

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter) -> None:
        self._device, self._now = device, now
        self._before_ms = 0.0
        self._since: float | None = None

    @property
    def elapsed_ms(self) -> float:
        """So far, without waiting for the GPU, as the competition's scripts read it between steps."""
        running = 0.0 if self._since is None else self._now() - self._since
        return self._before_ms + 1000.0 * running

    @property
    def running(self) -> bool:
        """Whether it does not stand still."""
        return self._since is not None

    def preset(self, elapsed_ms: float) -> None:
        """As if ``elapsed_ms`` had passed; for a run that is resumed."""
        self._before_ms = elapsed_ms

    def start(self) -> None:
        """Run on."""
        synchronise(self._device)
        self._since = self._now()

    def stop(self) -> float:
        """Stand still, after the GPU has finished; the milliseconds so far."""
        synchronise(self._device)
        self._before_ms = self.elapsed_ms
        self._since = None
        return self._before_ms


class Phases:
    """Seconds of named phases, in the order in which they first began; the same name adds up."""

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter) -> None:
        self._device, self._now = device, now
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measures what is done inside, from an idle GPU to an idle GPU; also when it fails."""
        self.seconds.setdefault(name, 0.0)
        synchronise(self._device)
        begin = self._now()
        try:
            yield
        finally:
            synchronise(self._device)
            self.seconds[name] += self._now() - begin
