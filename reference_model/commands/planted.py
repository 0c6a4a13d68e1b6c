"""``planted``: the planted violations by name."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer


class Form(StrEnum):
    """How the list is printed."""

    NAMES = "names"
    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command ``planted``."""

    @app.command()
    def planted(
        format_: Annotated[Form, typer.Option("--format", help="names: one a line; table: with rule.")] = Form.TABLE,
    ) -> None:
        """List the planted violations that `export --planted NAME` writes."""
        from reference_model.planted import names
        from reference_model.planted import planted as found

        variants = [found(name) for name in names()]
        if format_ is Form.JSON:
            typer.echo(json.dumps([{"name": v.name, "rule": v.rule, "preset": v.preset, "says": v.says}
                                   for v in variants], indent=1))  # fmt: skip
        for variant in variants if format_ is not Form.JSON else ():
            row = f"{variant.name:24} {variant.rule:22} {variant.says}"
            typer.echo(variant.name if format_ is Form.NAMES else row)
