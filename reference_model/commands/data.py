"""``data --local``: shards and a tokenizer made of the text that comes with Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command ``data``."""

    @app.command()
    def data(
        out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write datasets/ and tokenizers/.")],
        local: Annotated[
            bool, typer.Option("--local", help="English text of this Python: nothing is fetched.")
        ] = False,
        vocab: Annotated[int, typer.Option(help="Pieces of the tokenizer.")] = 1024,
    ) -> None:
        """Make a small dataset of real English text without any download."""
        from reference_model.data.local import write_local

        if not local:
            raise typer.BadParameter("give --local; the competition's own data come by fetch-data")
        made = write_local(out, vocab, lambda text: typer.echo(f"{text} ...", err=True))
        typer.echo(
            f"{made.documents:,} documents: {made.train_tokens:,} training tokens, {made.val_tokens:,} validation "
            f"tokens of {made.val_bytes:,} bytes\n{made.data.folder}\n{made.data.tokenizer}"
        )
