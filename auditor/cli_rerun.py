"""``golf-audit rerun``: a submission run under the tool's clock, and what becomes of its claims."""

from __future__ import annotations

import contextlib
import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from auditor.core.submission import Submission
    from auditor.rerun.options import Options
    from auditor.rerun.plan import Plan
    from auditor.rerun.series import Done, MakeRunner

FORMATS = ("text", "json")
INTERRUPTED = 130
MOST_GPUS = 64
MOST_SEEDS = 64
LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Asked:
    """The command's options beside those of the run."""

    path: Path
    base: str
    name: str | None
    form: str
    plan_only: bool


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Exit codes: 0 reproduced, 1 not_reproduced, over_cap or over_time, 10 crashed, out_of_memory or "
        "timed_out, 11 inconclusive or setup_failed, 2 wrong usage, 3 harness_failed, 130 interrupted (finished seeds "
        "are kept: the same command goes on)."
    )(rerun)


def rerun(
    path: Annotated[str, typer.Argument(metavar="PR_DIR", help="A submission folder, or a checkout of the PR.")] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be done, and do nothing.")] = False,
    toy: Annotated[bool, typer.Option("--toy", help="Toy world on a CPU: every path, no claim settled.")] = False,
    gpus: Annotated[int, typer.Option(metavar="N", help="Processes of the launch; default: all GPUs; 0: none.")] = -1,
    seeds: Annotated[str, typer.Option(metavar="N,N", help="Seeds; default 42,314,2025, at toy scale 42.")] = "",
    data: Annotated[str, typer.Option(metavar="DIR", help="Folder with datasets/ and tokenizers/.")] = "",
    keep: Annotated[str, typer.Option(metavar="DIR", help="The record; one broken off there is continued.")] = "",
    limit_train: Annotated[float, typer.Option(metavar="S", help="Seconds of training.")] = 600.0,
    limit_eval: Annotated[float, typer.Option(metavar="S", help="Seconds of evaluation.")] = 600.0,
    limit_other: Annotated[float, typer.Option(metavar="S", help="Seconds of start-up, and of serialising.")] = 900.0,
    grace: Annotated[float, typer.Option(metavar="S", help="Seconds over a limit before the run is killed.")] = 120.0,
    wheels: Annotated[str, typer.Option(metavar="DIR", help="Install from these wheels, without an index.")] = "",
    no_install: Annotated[bool, typer.Option("--no-install", help="Leave requirements.txt alone.")] = False,
    python: Annotated[str, typer.Option(metavar="PATH", help="Interpreter of the run; default: this one.")] = "",
    launcher: Annotated[str, typer.Option(metavar="NAME", help="torchrun, or python.")] = "",
    unsandboxed: Annotated[bool, typer.Option("--unsandboxed", help="Run it without isolation.")] = False,
    print_sky: Annotated[bool, typer.Option("--print-sky", help="Print a SkyPilot task for this re-run.")] = False,
    claimed: Annotated[str, typer.Option(metavar="X,X", help="Run nothing: judge this published score against")] = "",
    measured: Annotated[str, typer.Option(metavar="Y,Y", help="what a re-run gave, in bits per byte.")] = "",
    claimed_std: Annotated[float, typer.Option(metavar="S", help="Deviation over the seeds of --claimed.")] = 0.0,
    against: Annotated[str, typer.Option(metavar="Z,Z", help="With both: the row to beat, its mean or seeds.")] = "",
    bytes_per_token: Annotated[float, typer.Option(metavar="R", help="Of the tokenizer, for 0.005 nats.")] = 0.0,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text or json.")] = "text",
    base: Annotated[str, typer.Option(metavar="REF", help="In a checkout: what it is compared with.")] = "origin/main",
    submission: Annotated[str, typer.Option(metavar="NAME", help="Which of several submission folders.")] = "",
    verbose: Annotated[bool, typer.Option("--verbose", help="The run's own lines, and tracebacks.")] = False,
) -> None:
    """Run a submission under this tool's clock, seed by seed, and compare what it does with what it claims."""
    from auditor import cli, cli_output
    from auditor.rerun.options import Options, TimeLimits

    def body() -> int:
        if claimed or measured:
            _check_form(form)
            return _published(claimed, measured, claimed_std, against, bytes_per_token, form)
        if not path:
            raise cli_output.Misuse("give the folder of a submission, or a checkout of its pull request")
        limits = TimeLimits(
            _seconds("--limit-train", limit_train), _seconds("--limit-eval", limit_eval), _seconds("--grace", grace, 0),
            _seconds("--limit-other", limit_other),
        )  # fmt: skip
        options = Options(
            None if gpus == -1 else gpus, _seeds(seeds), _path(data), _path(keep), limits, _path(wheels),
            not no_install, _path(python), launcher, toy, unsandboxed, verbose,
        )  # fmt: skip
        asked = Asked(Path(path), base, submission or None, form, plan)
        _check(asked, options)
        return _print_sky(asked, options) if print_sky else run(asked, options)

    raise typer.Exit(cli.guarded(body, verbose))


def run(asked: Asked, options: Options) -> int:
    """Do what was asked; the exit code. Raises the errors that `auditor.cli.guarded` knows."""
    from auditor.cli_output import screen, write
    from auditor.rerun import outcome, view
    from auditor.rerun.plan import document
    from auditor.rerun.series import Stages

    stages = Stages()
    if sys.argv[1:2] == ["rerun"]:  # the process is this command alone: its total begins with it
        stages.since_process_start("start of the command")
    submission, planned = _planned(asked, options)
    width, color = screen(True)
    if asked.plan_only:
        text = view.render_plan(planned, options, width, color)
        write(view.as_json(document(planned, options)) if asked.form == "json" else text)
        return 0
    if sys.stderr is not None:
        with contextlib.suppress(BrokenPipeError):
            print(view.render_plan(planned, options), end="", file=sys.stderr, flush=True)
    done = _done(submission, planned, options, stages)
    judged = outcome.judge(done.record, submission, planned.facts)
    stages.mark("judgement")
    mine = [index for index, one in enumerate(done.record.seeds) if one in done.fresh]
    phases = view.whole_phases(done.record, stages, mine)
    if asked.form == "json":
        write(view.as_json(view.document(judged, done.record, stages.total, phases)))
    else:
        write(view.render(judged, done.record, stages.total, phases, width, color))
    if done.interrupted:
        print(f"golf-audit: interrupted; finished seeds are in {done.record.folder}", file=sys.stderr, flush=True)
        return INTERRUPTED
    return outcome.EXIT[judged.outcome]


def _published(claimed: str, measured: str, std: float, against: str, ratio: float, form: str) -> int:
    """Two published scores, without a run."""
    from auditor.cli_output import Misuse, screen, write
    from auditor.rerun import published, view

    try:
        judged = published.judged(claimed, measured, std=std, against=against, bytes_per_token=ratio)
    except ValueError as error:
        raise Misuse(str(error)) from error
    rows = published.rows(judged)
    write(view.as_json(published.document(judged)) if form == "json" else view.table(rows, *screen(True)))
    return judged.exit_code


def _print_sky(asked: Asked, options: Options) -> int:
    """The task file; nothing of this machine is looked at."""
    from auditor.cli_output import Misuse, write
    from auditor.rerun import sky
    from auditor.rerun.plan import CannotPlan, load

    if options.toy:
        raise Misuse("--print-sky is for a re-run on eight GPUs; --toy runs here")
    try:
        write(sky.task(load(asked.path, asked.base, asked.name, options), options))
    except CannotPlan as error:
        raise Misuse(str(error)) from error
    return 0


def _planned(asked: Asked, options: Options) -> tuple[Submission, Plan]:
    from auditor.engine import UsageError
    from auditor.rerun.environment import SetupError
    from auditor.rerun.plan import CannotPlan, load, make_plan

    try:
        submission = load(asked.path, asked.base, asked.name, options)
        folder = options.keep or _usual_folder(submission.name, options.toy, asked.plan_only)
        return submission, make_plan(submission, options, folder.absolute(), digests=not asked.plan_only)
    except (CannotPlan, SetupError) as error:
        raise UsageError(str(error)) from error


def _usual_folder(name: str, toy: bool, plan_only: bool) -> Path:
    """Where a record goes that has no ``--keep``: a toy run's is a temporary one."""
    if toy:
        return Path(tempfile.gettempdir()) / "golf-rerun-record" if plan_only else Path(
            tempfile.mkdtemp(prefix="golf-rerun-record-"))  # fmt: skip
    return Path(f"golf-rerun-{''.join(c if c.isalnum() or c in '._-' else '_' for c in name)[:80]}")


def _done(submission: Submission, planned: Plan, options: Options, stages: object) -> Done:
    from auditor.engine import UsageError
    from auditor.rerun import series, view
    from auditor.rerun.interrupts import interruptible
    from auditor.rerun.record import Busy, RecordError

    make: MakeRunner
    if options.toy:
        from auditor.rerun.toy import ToyRunner

        make = ToyRunner
    else:
        from auditor.rerun.real import RealRunner

        make = RealRunner
    assert isinstance(stages, series.Stages)
    before = len(stages.parts)
    with interruptible(), view.watching(options.verbose) as watcher:
        try:
            done = series.rerun(submission, planned, options, watcher, make, stages)
        except (Busy, RecordError) as error:
            raise UsageError(str(error)) from error
        except OSError as error:
            if len(stages.parts) > before:
                raise
            raise UsageError(f"the record cannot be written: {error}") from error
    stages.mark(series.CLOSING)
    return done


def _check(asked: Asked, options: Options) -> None:
    from auditor.cli_output import Misuse

    _check_form(asked.form)
    if options.launcher not in ("", "torchrun", "python"):
        raise Misuse(f"--launcher takes torchrun or python; not {options.launcher!r}")
    if options.gpus is not None and not 0 <= options.gpus <= MOST_GPUS:
        raise Misuse(f"--gpus takes a number from 0 to {MOST_GPUS}; not {options.gpus}")
    if options.keep is not None and options.keep.exists() and not options.keep.is_dir():
        raise Misuse(f"--keep {options.keep} is a file")
    if options.data is not None and not options.data.is_dir():
        raise Misuse(f"--data {options.data} is no folder")
    if options.wheels is not None and not options.wheels.is_dir():
        raise Misuse(f"--wheels {options.wheels} is no folder")
    for name, given in (("--data", options.data), ("--gpus", options.gpus), ("--wheels", options.wheels)):
        if options.toy and given is not None:
            raise Misuse(f"--toy takes no {name}: it brings a world of its own")


def _check_form(form: str) -> None:
    from auditor.cli_output import Misuse

    if form not in FORMATS:
        raise Misuse(f"rerun prints {' or '.join(FORMATS)}; not {form!r}")


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _seconds(name: str, value: float, least: float = 0.1) -> float:
    from auditor.cli_output import Misuse

    if not (math.isfinite(value) and least <= value <= 1e6):
        raise Misuse(f"{name} takes seconds from {least:g} to 1000000; not {value:g}")
    return value


def _seeds(text: str) -> tuple[int, ...]:
    from auditor.cli_output import Misuse

    words = [word.strip() for word in text.split(",")] if text else []
    if not all(word.isdecimal() and int(word) <= LARGEST_SEED for word in words) or len(words) > MOST_SEEDS:
        raise Misuse(f"--seeds takes at most {MOST_SEEDS} whole numbers with commas between; not {text[:100]!r}")
    return tuple(int(word) for word in words)
