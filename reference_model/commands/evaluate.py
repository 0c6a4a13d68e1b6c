"""``eval``: bits per byte of weights on a dataset."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from reference_model.config import load_preset


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="eval")(evaluate)


def evaluate(
    preset: Annotated[str, typer.Option(help="Name of a preset.")],
    weights: Annotated[Path, typer.Option(metavar="FILE", help="Float weights, or an artifact.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Shards and tokenizer, as data --local writes them.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Also the stream in sequences that do not overlap.")] = False,
    ttt: Annotated[bool, typer.Option("--ttt", help="Also with the preset's score-first test-time training.")] = False,
    form: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Score WEIGHTS on the validation stream of DIR: bits per byte, losses summed in float64."""
    from reference_model.artifact.foreign import read
    from reference_model.data.folder import find_data
    from reference_model.evaluation import score
    from reference_model.quantisation.mixed import dequantise

    if form not in ("text", "json"):
        raise typer.BadParameter(f"--format takes text or json, not {form!r}")
    asked = load_preset(preset, settings or [])
    state = dequantise(read(weights.read_bytes()))
    loaded = score.load(asked, state, fixed=score.names_of(settings or []), device=score.best_device())
    for line in loaded.changed:
        typer.echo(f"note: {line}", err=True)
    found = find_data(data, loaded.preset.model.vocab_size)
    stream, table = score.validation(loaded.preset, found)
    with bar() as tell:
        scores = score.score(loaded, stream, table, score.asked(whole=whole, ttt=ttt), tell)
    if form == "json":
        typer.echo(json.dumps({kind: asdict(value) for kind, value in scores.items()}, indent=1))
        return
    for kind, value in scores.items():
        typer.echo(
            f"{score.NAMES[kind]}: val_loss {value.loss:.8f} val_bpb {value.bpb:.8f} "
            f"({value.tokens:,} tokens, {value.bytes:,} bytes)"
        )


@contextmanager
def bar() -> Iterator[Callable[[str, float], None]]:
    """A bar on stderr where that is a terminal; else nothing."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=1.0)
        yield lambda what, share: bars.update(task, description=what, completed=share)
