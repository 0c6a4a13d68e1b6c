"""``golf-audit probe``: the behaviour witness alone, and the replay of its witness files."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.behaviour.replay import Replayed
    from auditor.behaviour.witness import WitnessFile
    from auditor.core.submission import Submission

REPRODUCED, NOT_REPRODUCED, NOT_REPLAYED = 1, 0, 11
"""Exit codes of a replay."""
FORMATS = ("text", "json")


@dataclass(frozen=True, slots=True)
class Asked:
    """The command's options."""

    path: Path
    replay: Path | None = None
    other_script: bool = False
    unsandboxed: bool = False
    form: str = "text"
    seconds: float = 60.0
    witness_dir: Path | None = None
    timeline: bool = True
    base: str = "origin/main"
    name: str | None = None


def run(asked: Asked, write: Callable[[str], None], width: int, color: bool) -> int:
    """Do what was asked; the exit code. Raises the errors that `auditor.cli.guarded` knows."""
    from auditor import engine, engine_probe
    from auditor.behaviour.witness import WitnessError, read

    _check(asked)
    try:
        file = None if asked.replay is None else read(asked.replay)
    except WitnessError as error:
        raise engine.UsageError(str(error)) from error
    with progress(f"probing {asked.path}") as told:
        options = engine.Options(
            witnesses=engine_probe.ONLY, base=asked.base, name=asked.name, unsandboxed=asked.unsandboxed,
            run_seconds=asked.seconds, witness_dir=asked.witness_dir, on_progress=told,
        )  # fmt: skip
        submission = engine_probe.load(asked.path, options)
        if file is not None:
            try:
                done = _replay(asked, file, submission, told)
            except WitnessError as error:
                raise engine.UsageError(str(error)) from error
        else:
            probed = engine_probe.probe(submission, options)
    if file is not None:
        return _show_replay(asked, done, write, width, color)
    if asked.form == "json":
        from auditor.behaviour import view

        write(as_json({**view.document(probed.facts, probed.info), "verdict": probed.verdict.value}))
    else:
        from auditor.behaviour import view
        from auditor.report.behaviour import smoke_line

        smoke = smoke_line(probed.info)
        write(view.render(probed.facts, probed.info, smoke, width=width, color=color, timeline=asked.timeline))
    from auditor.cli import EXIT

    return EXIT[probed.verdict]


def _check(asked: Asked) -> None:
    from auditor.engine import UsageError

    if asked.form not in FORMATS:
        raise UsageError(f"probe prints {' or '.join(FORMATS)}; not {asked.form!r}")
    if not (math.isfinite(asked.seconds) and 1 <= asked.seconds <= 3600):
        raise UsageError(f"--seconds takes a number from 1 to 3600; not {asked.seconds:g}")
    if asked.witness_dir is not None and asked.witness_dir.exists() and not asked.witness_dir.is_dir():
        raise UsageError(f"--witness-dir {asked.witness_dir} is a file")


def _replay(
    asked: Asked, file: WitnessFile, submission: Submission, told: Callable[[str, float | None], None]
) -> Replayed:
    from auditor.behaviour import replay

    return replay.replay(
        submission, file, unsandboxed=asked.unsandboxed, wall_seconds=asked.seconds,
        other_script=asked.other_script, on_progress=told,
    )  # fmt: skip


def _show_replay(asked: Asked, done: Replayed, write: Callable[[str], None], width: int, color: bool) -> int:
    from auditor.behaviour import replay_view

    if asked.form == "json":
        write(as_json(replay_view.document(done)))
    else:
        write(replay_view.render(done, width=width, color=color))
    if done.problem:
        return NOT_REPLAYED
    return REPRODUCED if done.reproduced else NOT_REPRODUCED


def as_json(document: dict[str, Any]) -> str:
    """One document; numbers that JSON does not know are written as text."""
    return json.dumps(_finite(document), indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


@contextmanager
def progress(what: str) -> Iterator[Callable[[str, float | None], None]]:
    """Progress on stderr: a bar on a terminal, else one plain line for each new step."""
    from auditor.core.text import plain

    if sys.stderr is None:
        yield lambda text, share: None
        return
    if not sys.stderr.isatty():
        yield _lines(plain(what, 200))
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(24), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(plain(what, 60), total=None)

        def tell(text: str, share: float | None) -> None:
            total = None if share is None else 1.0
            bars.update(task, description=plain(text, 60), total=total, completed=share or 0.0)

        yield tell


def _lines(what: str) -> Callable[[str, float | None], None]:
    from auditor.core.text import plain

    last: list[str] = []

    def tell(text: str, share: float | None) -> None:
        line = f"golf-audit: {what}: {plain(text, 200)}"
        if last != [line]:
            last[:] = [line]
            with contextlib.suppress(BrokenPipeError):
                print(line, file=sys.stderr, flush=True)

    return tell
