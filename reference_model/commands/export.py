"""``export``: a preset as a submission folder in the competition's form."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command ``export``."""

    @app.command()
    def export(
        out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write records/TRACK/DATE_NAME/.")],
        preset: Annotated[str, typer.Option(metavar="P", help="The preset.")] = "baseline",
        planted: Annotated[
            str, typer.Option(metavar="NAME", help="A planted violation, with its own preset (see `planted`).")
        ] = "",
        set_: Annotated[
            list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the preset, changed.")
        ] = None,
        day: Annotated[
            datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="The folder's date; default: today.")
        ] = None,
    ) -> None:
        """Write a submission folder whose one script trains, quantises and scores the preset."""
        from reference_model.config import load_preset
        from reference_model.export.folder import write_folder
        from reference_model.planted import planted as variant
        from reference_model.planted import planted_script

        when = day.date() if day else date.today()
        if planted:
            if set_:
                raise typer.BadParameter("a planted violation has its own settings")
            chosen, script = planted_script(planted)
            folder = write_folder(chosen, out, when, script=script, bytes_total=variant(planted).bytes_total)
        else:
            folder = write_folder(load_preset(preset, set_ or ()), out, when)
        typer.echo(folder)
