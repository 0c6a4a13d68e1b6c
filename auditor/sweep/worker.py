"""A worker process: reads one JSON request a line from its input, answers with one JSON line each, audits in forks.

The first line configures it. It ends when its input ends, also in the middle of an audit, and takes the audit along.
Whoever wants its answers from elsewhere (`auditor.sweep.rayengine`) starts the same process there.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import IO, Any

from auditor.core.text import plain
from auditor.core.types import Witness
from auditor.engine import Options
from auditor.sweep import child, task
from auditor.sweep.child import Bounds, Cancelled
from auditor.sweep.types import Audited, Pull, Source, SweepError

WARM_UP = "import os\nimport torch\n\ndef main():\n    print(f'val_bpb:{1.0:.4f}')\n\nmain()\n"
"""Audited once at the start, so that everything an audit imports is there before the first fork."""


@dataclass(frozen=True, slots=True)
class Config:
    """Where submissions come from and how they are audited; the same for every worker."""

    source: Mapping[str, str]
    """``{"kind": "git", "path", "refs", "base"}`` or ``{"kind": "folders", "path"}``."""
    witnesses: tuple[str, ...]
    not_probed: str = ""
    as_of: str = ""
    unsandboxed: bool = False
    seconds: float = 120.0
    memory: int = 3 << 30
    scratch: str = ""
    """Folder for private scratch folders; empty: the system's."""

    def options(self) -> Options:
        """The engine's options. A submission's own suppressions count for nothing in a sweep."""
        return Options(
            witnesses=tuple(Witness(w) for w in self.witnesses),
            as_of=date.fromisoformat(self.as_of) if self.as_of else None,
            ignore_suppressions=True,
            not_probed=self.not_probed,
            unsandboxed=self.unsandboxed,
        )

    def bounds(self) -> Bounds:
        """Limits of one audit. What runs in the sandbox needs address space of its own."""
        space = 0 if Witness.BEHAVIOUR.value in self.witnesses else 2 * self.memory
        return Bounds(self.seconds, self.memory, space)


def config_of(data: Mapping[str, Any]) -> Config:
    """A `Config` from its dictionary."""
    return Config(**{**data, "witnesses": tuple(data["witnesses"])})


def open_source(source: Mapping[str, str]) -> Source:
    """The source that ``source`` describes. Raises `SweepError`."""
    if source["kind"] == "git":
        from auditor.sweep.gitsource import GitSource

        return GitSource(Path(source["path"]), source["refs"], source["base"])
    from auditor.sweep.foldersource import FolderSource

    return FolderSource(Path(source["path"]))


class Worker:
    """Answers requests until its input ends."""

    def __init__(self, config: Config, source: Source, scratch: Path, stop: int | None = None) -> None:
        self._config = config
        self._source = source
        self._scratch = scratch
        self._stop = stop

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request: ``{"planned"}``, ``{"audited"}``, or ``{"error"}`` with a sentence."""
        pull = Pull(request["ref"], request["head"])
        try:
            if request["do"] == "plan":
                return {"planned": self._source.plan(pull).as_dict()}
            return {"audited": asdict(self._audit(pull, request["path"]))}
        except (SweepError, OSError) as error:
            return {"error": plain(error, 400)}
        except RecursionError:
            return {"error": "its folders nest too deep"}

    def _audit(self, pull: Pull, path: str) -> Audited:
        room = Path(tempfile.mkdtemp(prefix="submission-", dir=self._scratch))
        try:
            opened = self._source.open(pull, path, str(room))
            options = self._config.options()
            return child.run(lambda: task.audited(opened, path, options), self._config.bounds(), self._stop)
        finally:
            shutil.rmtree(room, ignore_errors=True)


def warm_up(config: Config, scratch: Path) -> None:
    """Import what an audit imports, by one of two lines; then spare it from the garbage collector."""
    from auditor.engine import audit

    place = scratch / "warm-up"
    place.mkdir()
    (place / "train_gpt.py").write_text(WARM_UP)
    (place / "train.log").write_text("val_bpb:1.0000\n")
    only = tuple(w for w in config.options().witnesses if w is not Witness.BEHAVIOUR)
    audit(place, Options(witnesses=only or (Witness.SOURCE,)))
    shutil.rmtree(place)
    gc.collect()
    gc.freeze()


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Configure by the first line, then answer the others; returns when ``requests`` end."""
    config = config_of(json.loads(requests.readline()))
    with tempfile.TemporaryDirectory(prefix="golf-sweep-", dir=config.scratch or None) as room:
        try:
            source = open_source(config.source)
            warm_up(config, Path(room))
        except SweepError as error:
            _tell(answers, {"error": str(error)})
            return
        _tell(answers, {"ready": os.getpid()})
        worker = Worker(config, source, Path(room), requests.fileno())
        try:
            for line in iter(requests.readline, b""):
                _tell(answers, worker.answer(json.loads(line)))
        except Cancelled:
            return
        finally:
            source.close()


def _tell(answers: IO[bytes], answer: Mapping[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def main() -> int:
    """Serve on standard input and output; what a library prints goes to standard error."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        serve(requests, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
