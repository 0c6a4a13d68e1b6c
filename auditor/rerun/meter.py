"""Memory and power of the GPUs while a run lasts, as ``nvidia-smi`` tells them; nothing where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass

MIB = 1 << 20
EVERY = 2.0
ANSWER_SECONDS = 15.0
_FIELDS = "index,name,memory.total,driver_version"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One of the machine's GPUs."""

    index: int
    name: str
    memory_bytes: int | None
    driver: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: the seconds of it, and of each GPU the memory in use (bytes) and the power (watts, None: not told)."""

    seconds: float
    used: tuple[int, ...]
    watts: tuple[float | None, ...]


def gpus(program: str = "nvidia-smi") -> tuple[Gpu, ...]:
    """The GPUs that a run can use: the machine's, or of these what ``CUDA_VISIBLE_DEVICES`` leaves, in its order.

    None where the program is missing, fails or says what is not understood.
    """
    found: list[Gpu] = []
    for words in _ask(program, _FIELDS):
        if len(words) == 4 and words[0].isdigit():
            total = _number(words[2])
            found.append(Gpu(int(words[0]), words[1], None if total is None else int(total * MIB), words[3]))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None or not all(word.strip().isdigit() for word in visible.split(",")):
        return tuple(found) if visible != "" else ()
    by_index = {gpu.index: gpu for gpu in found}
    return tuple(by_index[int(word)] for word in visible.split(",") if int(word) in by_index)


def _ask(program: str, what: str) -> list[list[str]]:
    path = shutil.which(program)
    if path is None:
        return []
    command = [path, f"--query-gpu={what}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode != 0:
        return []
    return [[word.strip() for word in line.split(",")] for line in done.stdout.splitlines() if line.strip()]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # "[N/A]"
        return None


class Meter:
    """Asks in the background while a ``with`` block lasts."""

    def __init__(
        self, indices: Collection[int], begun: float, every: float = EVERY, program: str = "nvidia-smi"
    ) -> None:
        """``indices`` of the GPUs in use. ``begun``: moment of the monotonic clock from which seconds count."""
        self._indices, self._begun, self._every, self._program = indices, begun, every, program
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._samples: list[Sample] = []
        self._thread = threading.Thread(target=self._run, name="rerun-meter", daemon=True)

    def __enter__(self) -> Meter:
        """Start, where there is anything to ask."""
        if self._indices and shutil.which(self._program) is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(ANSWER_SECONDS + self._every)

    def samples(self) -> list[Sample]:
        """All so far."""
        with self._lock:
            return list(self._samples)

    def peak_bytes(self) -> int | None:
        """The most that any one GPU held."""
        return max((max(s.used) for s in self.samples() if s.used), default=None)

    def mean_watts(self) -> float | None:
        """All GPUs together, in the mean over the run; None where the power of one is not told."""
        sums = [sum(w for w in s.watts if w is not None) for s in self.samples() if s.watts and None not in s.watts]
        return sum(sums) / len(sums) if sums else None

    def _run(self) -> None:
        while not self._stop.is_set():
            answer = _ask(self._program, "index,memory.used,power.draw")
            rows = [r for r in answer if len(r) == 3 and r[0].isdigit() and int(r[0]) in self._indices]
            used = [_number(r[1]) for r in rows]
            if rows and None not in used:
                sample = Sample(
                    time.monotonic() - self._begun, tuple(int((u or 0.0) * MIB) for u in used),
                    tuple(_number(r[2]) for r in rows),
                )  # fmt: skip
                with self._lock:
                    self._samples.append(sample)
            self._stop.wait(self._every)
