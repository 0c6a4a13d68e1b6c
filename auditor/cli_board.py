"""``golf-audit board``: a sweep's store as a static site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auditor.cli_output import Misuse, write


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""

    @app.command(epilog="Exit codes: 0 the board was written; 2 wrong usage; 130 interrupted.")
    def board(
        store: Annotated[str, typer.Argument(metavar="STORE", help="The store of a sweep.")] = "",
        out: Annotated[str, typer.Option("-o", "--out", metavar="DIR", help="Folder to write the site into.")] = "site",
        link: Annotated[
            str, typer.Option(metavar="URL", help="Address of a pull request, with {number} in it; links to it.")
        ] = "",
        verbose: Annotated[bool, typer.Option("--verbose", help="Tracebacks when something fails.")] = False,
    ) -> None:
        """Write a sweep's results as a static site that works without network: filters, reports, rules, leaderboard."""
        from auditor.cli import guarded

        def body() -> int:
            if not store:
                raise Misuse("give the store of a sweep (golf-audit sweep writes audits.db)")
            return run(Path(store), Path(out), link)

        raise typer.Exit(guarded(body, verbose))


def run(store: Path, out: Path, link: str = "") -> int:
    """Write the board; the exit code. Raises `Misuse`."""
    from auditor.board.site import BoardError
    from auditor.board.site import write as write_site
    from auditor.sweep.progress import telling
    from auditor.sweep.store import reading
    from auditor.sweep.types import SweepError
    from rules import load_rules

    if link and not (link.startswith(("https://", "http://")) and "{number}" in link):
        raise Misuse(f"--link takes an http address with {{number}} in it; not {link!r}")
    try:
        with reading(store) as db, telling() as progress:
            done = write_site(db, out, load_rules(), link, progress)
    except (SweepError, BoardError) as error:
        raise Misuse(str(error)) from error
    waiting = f"; {done.waiting:,} are not audited yet and left out" if done.waiting else ""
    write(f"{done.submissions:,} submissions{waiting}\n{done.files:,} files; open {out / 'index.html'}\n")
    return 0
