"""What ``golf-audit probe --replay`` prints: the two runs side by side, and the update in between."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from auditor.behaviour.facts import Question
from auditor.behaviour.replay import Replayed, Row
from auditor.behaviour.view import LOSSES
from auditor.core.text import plain

SHOWN = 12


def render(done: Replayed, *, width: int = 80, color: bool = False) -> str:
    """The replay as text."""
    sink = io.StringIO()
    console = Console(
        file=sink, width=max(40, width), force_terminal=color, no_color=not color,
        color_system="standard" if color else None, highlight=False, markup=False, emoji=False, legacy_windows=False,
    )  # fmt: skip
    document = done.witness.document
    console.print(Text(headline(done), style="bold red" if done.reproduced else "bold magenta"))
    _say(console, f"{document['question']}: {plain(document['message'], 500)}")
    _between(console, document)
    for note in (*done.notes, *_versions(document)):
        _say(console, f"- {plain(note, 300)}", 2)
    _rows(console, done)
    level = {"none": "none, the code ran with this user's rights"}.get(done.level, done.level or "not known")
    _say(console, f"Isolation: {level}. {done.seconds:.1f} s.")
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()) + "\n"


def headline(done: Replayed) -> str:
    """The outcome in one sentence."""
    if done.problem:
        return f"COULD NOT BE REPLAYED: {plain(done.problem, 300)}"
    if not done.reproduced:
        what = (
            f"all {done.compared:,} scores before the cut are the same in both runs" if done.compared else "no finding"
        )
        return f"NOT REPRODUCED: {what}"
    same = "with the losses of the file, to the bit" if done.exact else "with other losses than the file's"
    if not done.rows:
        return "REPRODUCED"
    if done.witness.document["variation"] is None:
        return f"REPRODUCED, {same}"
    return f"REPRODUCED, {same}: {done.differing:,} of {done.compared:,} earlier scores noticed a later change"


def _between(console: Console, document: Mapping[str, Any]) -> None:
    variation = document["variation"]
    if variation is not None:
        kept = sum(end - first for first, end in variation["keep"])
        changed = variation["tokens"] - kept
        _say(
            console,
            f"Run A reads the validation stream, run B the same with {changed:,} of {variation['tokens']:,} tokens "
            f"replaced: only such as are scored after score {variation['index']:,}. "
            f"Cut: {plain(variation['why'], 200)}.",
        )
    spot = document.get("update_between")
    if isinstance(spot, dict):
        where = f" in {plain(spot.get('function'), 60)}" if spot.get("function") else ""
        note = f": {plain(spot.get('note'), 200)}" if spot.get("note") else ""
        _say(console, f"In between: {plain(spot.get('file'), 80)}:{spot.get('line')}{where}{note}")


def _versions(document: Mapping[str, Any]) -> list[str]:
    made = f"the witness was made with torch {plain(document.get('torch') or 'unknown', 40)}"
    machine = document.get("machine")
    return [f"{made} on {plain(machine, 80)}"] if machine else [made]


def _rows(console: Console, done: Replayed) -> None:
    if not done.rows:
        return
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("position", justify="right", no_wrap=True)
    table.add_column("token", no_wrap=True, max_width=16)
    for name in LOSSES.get(Question(done.witness.document["question"]), ("first", "second")):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("against the file", no_wrap=True)
    for row in done.rows[:SHOWN]:
        style = "bold" if row.first != row.second else "dim"
        token = f"{row.token} {plain(row.piece, 10)}"
        cells = (str(row.position), token, _loss(row.first), _loss(row.second), _held(row))
        table.add_row(*(Text(cell, style=style) for cell in cells))
    console.print(Padding(table, (0, 0, 0, 2)))
    if len(done.rows) > SHOWN:
        _say(console, f"and {len(done.rows) - SHOWN} more tokens (--format json lists them)", 2)
    console.print()


def _loss(value: float | None) -> str:
    return "not scored" if value is None else f"{value:.8f}"


def _held(row: Row) -> str:
    if row.exact:
        return "the same"
    if row.first is None or row.second is None:
        return "-"
    return f"A {row.first - row.stated_first:+.1e} B {row.second - row.stated_second:+.1e}"


def _say(console: Console, text: str, indent: int = 0) -> None:
    console.print(Padding(Text(text), (0, 0, 0, indent)))


def document(done: Replayed) -> dict[str, object]:
    """The same for machines."""
    return {
        "schema_version": 1, "witness": done.witness.name, "question": done.witness.document["question"],
        "reproduced": done.reproduced, "exact": done.exact, "problem": done.problem or None,
        "differing": done.differing, "compared": done.compared, "isolation": done.level, "seconds": done.seconds,
        "update_between": done.witness.document.get("update_between"), "notes": list(done.notes),
        "rows": [{**asdict(row), "exact": row.exact} for row in done.rows],
    }  # fmt: skip
