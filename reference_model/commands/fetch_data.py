"""``fetch-data``: the competition's shards and tokenizers, with progress."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command ``fetch-data``."""

    @app.command("fetch-data")
    def fetch_data(
        out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write datasets/ and tokenizers/.")],
        variant: Annotated[str, typer.Option(help="Tokenizer of the shards: sp1024, sp4096, ...")] = "sp1024",
        train_shards: Annotated[int, typer.Option(metavar="N", help="Training shards, of 100 million tokens.")] = 1,
    ) -> None:
        """Fetch the competition's data from Hugging Face; interrupted, the same command goes on."""
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

        from reference_model.data.fetch import HuggingFace, fetch

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
        hub, console = HuggingFace(), Console(stderr=True)
        with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
            task = bars.add_task("manifest.json", total=None)

            def tell(name: str, done: int, total: int) -> None:
                bars.update(task, description=name, completed=done, total=total)

            written = fetch(out, variant, train_shards, hub, tell)
        typer.echo("\n".join(map(str, written)))
