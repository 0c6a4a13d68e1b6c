"""``golf-audit sweep``: audit every pull request of a repository, or every folder of a folder, into one store."""

from __future__ import annotations

import json
import math
import os
import resource
import sqlite3
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditor.cli_output import Misuse, write

if TYPE_CHECKING:
    from auditor.core.types import Witness
    from auditor.sweep.pool import Engine
    from auditor.sweep.types import Pull
    from auditor.sweep.worker import Config

REFS = "refs/pull/*/head"
STORE = "audits.db"
SECONDS, PROBE_SECONDS = 120.0, 900.0
"""Wall time limit of one submission without and with the behaviour witness."""
MEMORY_MIB = 3072


@dataclass(frozen=True, slots=True)
class Asked:
    """The command's options."""

    path: Path
    store: Path
    refs: str = REFS
    base: str = ""
    jobs: int = 0
    limit: int = 0
    no_probe: bool = False
    witness: str = ""
    as_of: str = ""
    unsandboxed: bool = False
    seconds: float = 0.0
    memory: int = MEMORY_MIB
    retry_errors: bool = False
    engine: str = "local"
    address: str = ""
    form: str = "text"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""

    @app.command(
        epilog="Exit codes: 0 the sweep came to its end, whatever the verdicts; 2 wrong usage; 130 interrupted "
        "(the store is whole, and the next sweep goes on from there)."
    )
    def sweep(
        path: Annotated[
            str, typer.Argument(metavar="REPO_OR_DIR", help="A git repository, or a folder of folders.")
        ] = "",
        refs: Annotated[str, typer.Option(metavar="PATTERN", help="The refs that are pull requests.")] = REFS,
        store: Annotated[str, typer.Option(metavar="FILE", help="Where the results are kept.")] = STORE,
        base: Annotated[
            str, typer.Option(metavar="REF", help="What pull requests are compared with (default main or master).")
        ] = "",
        jobs: Annotated[int, typer.Option(metavar="N", help="Audits at the same time (default: one a core).")] = 0,
        limit: Annotated[int, typer.Option(metavar="N", help="Only the first N pull requests.")] = 0,
        no_probe: Annotated[bool, typer.Option("--no-probe", help="Do not run the behaviour witness.")] = False,
        witness: Annotated[str, typer.Option(help="Witnesses to hear, separated by commas.")] = "",
        as_of: Annotated[
            str, typer.Option(metavar="DATE", help="Judge by the rulings known on DATE (YYYY-MM-DD).")
        ] = "",
        unsandboxed: Annotated[
            bool, typer.Option("--unsandboxed", help="Run submissions' code even where nothing isolates it.")
        ] = False,
        seconds: Annotated[
            float, typer.Option(metavar="N", help="Wall time that one submission may take (default 120, probed 900).")
        ] = 0.0,
        memory: Annotated[int, typer.Option(metavar="MIB", help="Memory that one audit may take.")] = MEMORY_MIB,
        retry_errors: Annotated[
            bool, typer.Option("--retry-errors", help="Audit again what ended in an error.")
        ] = False,
        engine: Annotated[str, typer.Option(metavar="ENGINE", help="local or ray.")] = "local",
        address: Annotated[str, typer.Option(metavar="ADDRESS", help="Of the Ray cluster.")] = "",
        form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text or json.")] = "text",
        verbose: Annotated[bool, typer.Option("--verbose", help="Tracebacks when something fails.")] = False,
    ) -> None:
        """Audit every pull request of a repository, or every folder of a folder, into a store that can be resumed."""
        from auditor.cli import guarded

        def body() -> int:
            if not path:
                raise Misuse("give a git repository with pull requests, or a folder of folders")
            return run(Asked(
                Path(path), Path(store), refs, base, jobs, limit, no_probe, witness, as_of, unsandboxed, seconds,
                memory, retry_errors, engine, address, form,
            ))  # fmt: skip

        raise typer.Exit(guarded(body, verbose))


def run(asked: Asked) -> int:
    """Do what was asked; the exit code. Raises `Misuse`."""
    from auditor.sweep.types import SweepError

    _check(asked)
    try:
        return _run(asked)
    except SweepError as error:
        raise Misuse(str(error)) from error
    except (sqlite3.DatabaseError, zlib.error) as error:
        raise Misuse(f"--store {asked.store} cannot be used: {error}") from error


def _run(asked: Asked) -> int:
    from auditor.core.editions import edition
    from auditor.sweep import run as sweeping
    from auditor.sweep import summary
    from auditor.sweep.progress import telling
    from auditor.sweep.store import Store

    config, pulls, base = _source(asked)
    options = {"witnesses": list(config.witnesses), "as_of": config.as_of, "unsandboxed": config.unsandboxed}
    what = sweeping.Asked(str(asked.path), base, edition(config.options().as_of), options, asked.retry_errors)
    store = Store(asked.store)
    try:
        engine = _engine(asked, config, min(_jobs(asked), max(1, len(pulls))))
        try:
            with telling() as progress:
                course = sweeping.sweep(pulls, what, store, engine, progress)
        finally:
            engine.close()
        told = summary.figures(store.db, course, _peak())
        store.end(course.run, course.seconds, told)
    finally:
        store.close()
    write(json.dumps(told, indent=1) + "\n" if asked.form == "json" else summary.as_text(told, str(asked.store)))
    return 0


def _source(asked: Asked) -> tuple[Config, list[Pull], str]:
    """The workers' configuration, the pull requests, and the commit that they are compared with."""
    from auditor.sweep.gitsource import GitSource, git_dir
    from auditor.sweep.worker import Config, open_source

    directory = git_dir(asked.path)
    where = {"kind": "folders", "path": str(asked.path.resolve())}
    if directory is not None:
        where = {"kind": "git", "path": str(directory.resolve()), "refs": asked.refs, "base": asked.base}
    elif not asked.path.is_dir():
        raise Misuse(f"{asked.path}: " + ("not a folder" if asked.path.exists() else "no such folder"))
    source = open_source(where)
    try:
        pulls = source.pulls()
    finally:
        source.close()
    base = source.base if isinstance(source, GitSource) else ""
    witnesses, why = _witnesses(asked)
    probed = "behaviour" in witnesses
    config = Config(
        where, witnesses, why, asked.as_of, asked.unsandboxed,
        asked.seconds or (PROBE_SECONDS if probed else SECONDS), asked.memory << 20,
    )  # fmt: skip
    return config, pulls[: asked.limit or None], base


def _witnesses(asked: Asked) -> tuple[tuple[str, ...], str]:
    """The witnesses to hear, by name, and why the behaviour witness is not among them."""
    from auditor import engine
    from auditor.cli import parse_witnesses

    usual: tuple[Witness, ...] = engine.DEFAULT_WITNESSES
    why = "--no-probe was given"
    if not asked.no_probe:
        usual, why = engine.usual_witnesses(unsandboxed=asked.unsandboxed)
    chosen = parse_witnesses(asked.witness, usual, asked.no_probe)
    engine.check_witnesses(chosen)
    return tuple(w.value for w in chosen), "it was not asked for" if asked.witness and not asked.no_probe else why


def _engine(asked: Asked, config: Config, jobs: int) -> Engine:
    if asked.engine == "ray":
        from auditor.sweep.rayengine import RayEngine

        return RayEngine(config, asked.jobs, asked.address)
    from auditor.sweep.pool import LocalPool

    return LocalPool(config, jobs)


def _jobs(asked: Asked) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return asked.jobs or cores


def _check(asked: Asked) -> None:
    from auditor.cli import _date

    _date(asked.as_of)
    if asked.form not in ("text", "json"):
        raise Misuse(f"sweep prints text or json; not {asked.form!r}")
    if asked.engine not in ("local", "ray"):
        raise Misuse(f"--engine is local or ray; not {asked.engine!r}")
    if asked.address and asked.engine != "ray":
        raise Misuse("--address is for --engine ray")
    for name, value, least, most in (
        ("--jobs", asked.jobs, 0, 1024), ("--limit", asked.limit, 0, 10**9), ("--memory", asked.memory, 256, 1 << 20),
        ("--seconds", asked.seconds, 0, 86_400),
    ):  # fmt: skip
        if not (math.isfinite(value) and least <= value <= most):
            raise Misuse(f"{name} takes a number from {least} to {most:,}; not {value:g}")
    if asked.store.is_dir():
        raise Misuse(f"--store {asked.store} is a folder")
    if not asked.store.absolute().parent.is_dir():
        raise Misuse(f"--store {asked.store}: its folder does not exist")


def _peak() -> int:
    """Bytes: the largest resident set of this process."""
    peak: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else 1024)
