"""A re-run on the screen: the plan, the live progress, and the result."""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from auditor.core.text import plain
from auditor.core.types import Place
from auditor.rerun.facts import RerunRecord
from auditor.rerun.options import Options
from auditor.rerun.plan import Plan, shown_command
from auditor.rerun.published import statistics
from auditor.rerun.seedrun import Now
from auditor.rerun.series import Stages, Watcher

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from auditor.rerun.judged import Judgement

EVERY = 30.0
"""Seconds between two plain lines of one phase."""


class Plainly:
    """Progress as lines on standard error, for a pipe or a log file."""

    def __init__(self, verbose: bool) -> None:
        """``verbose``: the run's own lines too."""
        self._verbose = verbose
        self._name, self._told = "", 0.0

    def say(self, text: str) -> None:
        """A step of the harness."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            print(f"golf-audit: rerun: {plain(text, 300)}", file=sys.stderr, flush=True)

    def now(self, now: Now) -> None:
        """Each phase once, and then now and then."""
        if now.name != self._name or time.monotonic() - self._told >= EVERY:
            self._name, self._told = now.name, time.monotonic()
            left = f"{now.budget} has {max(now.left, 0):.0f} s left"
            self.say(f"seed {now.seed}: {now.seconds:.0f} s, {now.name}; {left}")

    def line(self, text: str) -> None:
        """A line of the run."""
        if self._verbose:
            self.say(f"| {text}")


class Silent:
    """No standard error: nothing is shown."""

    def say(self, text: str) -> None:
        """Nothing."""

    def now(self, now: Now) -> None:
        """Nothing."""

    def line(self, text: str) -> None:
        """Nothing."""


class Lively:
    """Progress as a panel that stays in place on a terminal."""

    def __init__(self, live: Live, verbose: bool) -> None:
        """``live``: a started display."""
        self._live, self._verbose = live, verbose
        self._last = 0.0

    def say(self, text: str) -> None:
        """A step of the harness."""
        from rich.text import Text

        self._live.console.print(Text(f"rerun: {plain(text, 300)}"))

    def now(self, now: Now) -> None:
        """Redraw, at most five times a second."""
        if time.monotonic() - self._last >= 0.2:
            self._last = time.monotonic()
            self._live.update(_panel(now))

    def line(self, text: str) -> None:
        """A line of the run, above the panel."""
        from rich.text import Text

        if self._verbose:
            self._live.console.print(Text(plain(text, 300)), style="dim")


def _panel(now: Now) -> Table:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_row(Text(f"seed {now.seed}", "bold"), Text(f"{now.seconds:,.0f} s"), Text(now.name, "bold"))
    style = "red" if now.left < 0 else "yellow" if now.left < 60 else ""
    grid.add_row("", Text(now.budget), Text(f"{now.left:,.0f} s left", style))
    if now.last:
        grid.add_row("", "log", Text(plain(now.last, 100), "dim", no_wrap=True, overflow="ellipsis"))
    return grid


@contextmanager
def watching(verbose: bool) -> Iterator[Watcher]:
    """Progress on standard error: a live panel on a terminal, else plain lines."""
    if sys.stderr is None:
        yield Silent()
    elif not sys.stderr.isatty():
        yield Plainly(verbose)
    else:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), transient=True, refresh_per_second=5) as live:
            yield Lively(live, verbose)


def render_plan(plan: Plan, options: Options, width: int = 80, color: bool = False) -> str:
    """The plan as text."""
    limits = options.limits
    rows = [("submission", plan.submission), ("script", f"{plan.script} (sha256 {plan.script_sha256[:12]})")]
    if plan.toy:
        rows.append(("scale", "toy world and shims, on the CPU: no claim can be settled by it"))
    else:
        rows += [("python", f"{plan.environment.python} ({plan.environment.version})"), *_environment(plan)]
        rows += [("launch", shown_command(plan)), *_data(plan)]
        gpus = ", ".join(plan.hardware.gpus) or "none"
        same = "the competition's machine" if plan.hardware.equivalent else "not equivalent to 8xH100"
        rows.append(("hardware", f"{gpus} ({same})"))
    rows += [
        ("isolation", plan.isolation), ("seeds", ", ".join(str(s) for s in plan.seeds)),
        ("limits", f"train {limits.train:g} s, evaluation {limits.evaluation:g} s, {limits.grace:g} s of grace each"),
        ("", f"start-up with warm-up, and serialising: not counted, {limits.other:g} s each at most"),
        ("disk", f"{_gib(plan.disk_wanted)} wanted, {_gib(plan.disk_free)} free"), ("record", plan.folder),
    ]  # fmt: skip
    rows += [("setting", f"{name}={value}  ({origin})") for name, value, origin in plan.settings]
    rows += [("note", text) for text in plan.notes]
    rows += [("PROBLEM", text) for text in plan.problems]
    return table(rows, width, color)


def _environment(plan: Plan) -> list[tuple[str, str]]:
    environment = plan.environment
    if not environment.requirements:
        return [("packages", f"as they are here; torch {environment.torch or 'is not installed'}")]
    source = f"from {environment.wheels}, without an index" if environment.wheels else "from the package index"
    return [("packages", f"{environment.requirements} into an environment of its own, wheels only, {source}: "
             + ", ".join(environment.lines))]  # fmt: skip


def _data(plan: Plan) -> list[tuple[str, str]]:
    data = plan.data
    if not data.folder:
        return [("data", "none given")]
    rows = [("data", data.folder)]
    rows += [
        ("", f"{d.path}: {d.train_shards} training and {d.val_shards} validation shards, "
         f"{d.train_tokens:,} and {d.val_tokens:,} tokens, {_gib(d.bytes)}"
         + (f", sha256 {d.digest[:12]}" if d.digest else ""))
        for d in data.datasets
    ]  # fmt: skip
    return rows + [("", f"{name}: {size:,} bytes" + (f", sha256 {sha[:12]}" if sha else ""))
                   for name, size, sha in data.tokenizers]  # fmt: skip


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.2f} GiB"


def table(rows: list[tuple[str, str]], width: int, color: bool) -> str:
    """Names and texts in two columns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in rows:
        style = "bold red" if name == "PROBLEM" else "bold"
        grid.add_row(Text(name, style), Text(plain(text, 2000)))
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=color, no_color=not color, highlight=False).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def whole_phases(record: RerunRecord, stages: Stages, fresh: list[int]) -> list[tuple[str, float]]:
    """The harness's total by phase: its own stages, and the phases of the runs at positions ``fresh`` added up."""
    sums: dict[str, float] = {}
    runs = {_name(record, index): record.seeds[index] for index in fresh}
    for name, seconds in stages.parts:
        run = runs.get(name)
        if run is None:
            sums[name] = sums.get(name, 0.0) + seconds
            continue
        for span in run.phases:
            label = span.name if span.kind.value == "evaluation" else span.kind.value
            sums[label] = sums.get(label, 0.0) + span.end - span.start
        inside = sum(span.end - span.start for span in run.phases)
        sums["harness"] = sums.get("harness", 0.0) + seconds - inside
    return list(sums.items())


def _name(record: RerunRecord, index: int) -> str:
    return record.seeds[index].log.removesuffix(".log")


def document(judged: Judgement, record: RerunRecord, total: float, phases: list[tuple[str, float]]) -> dict[str, Any]:
    """The result as JSON: the keys of DESIGN section 2, and what was measured of each seed."""
    from dataclasses import asdict

    return {
        "outcome": judged.outcome.value, "reasons": list(judged.reasons), "seconds_total": total,
        "phases": [{"name": name, "seconds": seconds} for name, seconds in phases],
        "claims": [
            {"kind": c.kind, "stated": c.stated, "where": _place(c.where), "measured": c.measured, "how": c.how}
            for c in judged.claims
        ],
        "seeds": [asdict(run) for run in record.seeds], "record": record.folder, "hardware": asdict(record.hardware),
        "isolation": record.isolation, "notes": list(record.notes),
        "statistics": asdict(judged.statistics) if judged.statistics is not None else None,
    }  # fmt: skip


def render(judged: Judgement, record: RerunRecord, total: float, phases: list[tuple[str, float]], width: int = 80,
           color: bool = False) -> str:  # fmt: skip
    """The result as text."""
    rows = [("outcome", judged.outcome.value), *(("", reason) for reason in judged.reasons)]
    for run in record.seeds:
        score = f"{run.headline.bpb:.5f} bpb ({run.headline.label})" if run.headline is not None else "no score"
        size = f"{run.bytes_total:,} bytes" if run.bytes_total is not None else "no artifact"
        rows.append((f"seed {run.seed}", f"{run.end.value} after {run.seconds:.1f} s; {score}; {size}"))
        times = [("train", run.train_seconds), ("evaluation", run.eval_seconds)]
        said = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times if seconds is not None)
        if said:
            rows.append(("", said))
    rows += statistics(judged)
    for claim in judged.claims:
        figures = f"{_figure(claim.stated, 'stated')}, {_figure(claim.measured, 'measured')}"
        rows.append(("claim", f"{claim.kind}: {figures}"))
    rows.append(("phases", f"{total:.2f} s in all"))
    rows += [("", f"{seconds:10.2f} s  {name}") for name, seconds in phases]
    rows += [("note", note) for note in record.notes]
    rows.append(("record", record.folder))
    return table(rows, width, color)


def as_json(document: dict[str, Any]) -> str:
    """One document; numbers that JSON does not know are written as text."""
    return json.dumps(_finite(document), indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _place(at: Place) -> dict[str, Any]:
    """As `auditor.report.json` writes places."""
    keys = ("file", "log", "field", "line", "end_line", "column")
    return {key: getattr(at, key) for key in keys if getattr(at, key) is not None}


def _figure(value: object, what: str) -> str:
    """A stated or measured figure in words; whole numbers with commas, others with eight digits."""
    if value is None:
        return f"not {what}"
    return f"{what} {value:.8g}" if isinstance(value, float) else f"{what} {value:,}" if isinstance(value, int) else (
        f"{what} {value}")  # fmt: skip
