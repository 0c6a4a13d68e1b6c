"""The command line. Everything heavy is imported when a command needs it, so that ``--help`` is quick."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from auditor import __version__, cli_board, cli_bpb, cli_rerun, cli_sweep
from auditor.cli_output import Misuse, deliver, parse_formats, screen, write
from auditor.core.types import Verdict, Witness

EXIT = {
    Verdict.NO_VIOLATION_FOUND: 0,
    Verdict.NON_COMPLIANT: 1,
    Verdict.NEEDS_REVIEW: 10,
    Verdict.INCONCLUSIVE: 11,
}
USAGE, FAILED, INTERRUPTED = 2, 3, 130

SEVERITY = (Verdict.NO_VIOLATION_FOUND, Verdict.INCONCLUSIVE, Verdict.NEEDS_REVIEW, Verdict.NON_COMPLIANT)
COMMANDS = ("audit", "probe", "bpb", "rules", "explain", "doctor", "sweep", "board", "rerun")
LATER_COMMANDS: tuple[str, ...] = ()

app = typer.Typer(
    name="golf-audit",
    help="Audit a parameter-golf submission: what was checked, what was found, what could not be covered.",
    epilog="golf-audit PR_DIR is golf-audit audit PR_DIR. Exit codes: 0 no violation found, 1 non-compliant, "
    "10 needs review, 11 inconclusive, 2 wrong usage or no submission there, 3 the tool itself failed.",
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        typer.echo(f"golf-audit {__version__}")
        raise typer.Exit(0)


@app.command()
def audit(
    path: Annotated[str, typer.Argument(metavar="PR_DIR", help="A submission folder, or a checkout of the PR.")] = "",
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="FORMAT[=FILE]",
            help="text, json, markdown, sarif, github or html; repeatable; to FILE when given.",
        ),
    ] = None,
    witness: Annotated[str, typer.Option(help="Witnesses to hear, separated by commas.")] = "",
    no_probe: Annotated[bool, typer.Option("--no-probe", help="Do not run the behaviour witness.")] = False,
    as_of: Annotated[str, typer.Option(metavar="DATE", help="Judge by the rulings known on DATE (YYYY-MM-DD).")] = "",
    fail_on: Annotated[
        str, typer.Option(metavar="VERDICT", help="Exit non-zero only for VERDICT or worse.")
    ] = Verdict.INCONCLUSIVE.value,
    base: Annotated[
        str, typer.Option(metavar="REF", help="In a checkout: what the PR is compared with.")
    ] = "origin/main",
    submission: Annotated[str, typer.Option(metavar="NAME", help="Which of several submission folders.")] = "",
    config: Annotated[str, typer.Option(metavar="FILE", help="Read suppressions from FILE.")] = "",
    ignore_suppressions: Annotated[
        bool, typer.Option("--ignore-suppressions", help="Judge as if no suppression were recorded.")
    ] = False,
    show_source: Annotated[
        str | None,
        typer.Option(metavar="[FILE]", help="Print the decoded text of the script (or FILE) with line numbers."),
    ] = None,
    unsandboxed: Annotated[
        bool, typer.Option("--unsandboxed", help="Run the submission's code even where nothing isolates it.")
    ] = False,
    witness_dir: Annotated[
        str, typer.Option("--witness-dir", metavar="DIR", help="Write the behaviour witness's files into DIR.")
    ] = "",
    rerun_record: Annotated[
        str, typer.Option("--rerun-record", metavar="DIR", help="Hear the record of a re-run as fourth witness.")
    ] = "",
    verbose: Annotated[bool, typer.Option("--verbose", help="All notes, timings, tracebacks.")] = False,
) -> None:
    """Audit one submission."""

    def body() -> int:
        from auditor import engine

        if not path:
            raise Misuse("give the folder of a submission, or a checkout of its pull request")
        outputs = parse_formats(formats or [])
        least = _verdict(fail_on)
        usual: tuple[Witness, ...] = engine.DEFAULT_WITNESSES
        not_probed = "--no-probe was given"
        if not no_probe:
            usual, not_probed = engine.usual_witnesses(unsandboxed=unsandboxed)
        options = engine.Options(
            witnesses=parse_witnesses(witness, usual, no_probe),
            not_probed="it was not asked for" if witness and not no_probe else not_probed,
            unsandboxed=unsandboxed, witness_dir=Path(witness_dir) if witness_dir else None,
            as_of=_date(as_of), base=base, name=submission or None,
            config=Path(config) if config else None,
            ignore_suppressions=ignore_suppressions, timings=verbose,
            rerun_record=Path(rerun_record) if rerun_record else None,
        )  # fmt: skip
        if show_source is not None:
            write(engine.numbered_source(Path(path), show_source, options))
            return 0
        from auditor.report.progress import waiting

        with waiting(f"auditing {path}"):
            report = engine.audit(Path(path), options)
        for name, file in outputs:
            deliver(report, name, file, verbose)
        return exit_code(report.verdict, least)

    raise typer.Exit(guarded(body, verbose))


@app.command(
    epilog="Exit codes: 0 nothing found, 1 found and ruled illegal, 10 found and for review, 11 not decided; with "
    "--replay: 1 the finding shows again (reproduced), 0 it does not, 11 the runs could not be made; 2 wrong usage, a "
    "machine without torch or isolation, or a witness of another script."
)
def probe(
    path: Annotated[str, typer.Argument(metavar="PR_DIR", help="A submission folder, or a checkout of the PR.")] = "",
    replay: Annotated[
        str, typer.Option(metavar="WITNESS.json", help="Run a witness file's two runs again and compare.")
    ] = "",
    other_script: Annotated[
        bool, typer.Option("--other-script", help="Replay even where the script is not the witness's.")
    ] = False,
    unsandboxed: Annotated[
        bool, typer.Option("--unsandboxed", help="Run the submission's code even where nothing isolates it.")
    ] = False,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text or json.")] = "text",
    seconds: Annotated[float, typer.Option(metavar="N", help="Wall time limit of one toy run.")] = 60.0,
    witness_dir: Annotated[
        str, typer.Option("--witness-dir", metavar="DIR", help="Write the witness files into DIR.")
    ] = "",
    timeline: Annotated[bool, typer.Option(help="Print the timeline.")] = True,
    base: Annotated[
        str, typer.Option(metavar="REF", help="In a checkout: what the PR is compared with.")
    ] = "origin/main",
    submission: Annotated[str, typer.Option(metavar="NAME", help="Which of several submission folders.")] = "",
    verbose: Annotated[bool, typer.Option("--verbose", help="Tracebacks when something fails.")] = False,
) -> None:
    """Run a submission at toy scale in a sandbox, twice, and show what it scored, trained on and wrote, and when."""

    def body() -> int:
        from auditor import cli_probe

        if not path:
            raise Misuse("give the folder of a submission, or a checkout of its pull request")
        asked = cli_probe.Asked(
            Path(path), Path(replay) if replay else None, other_script, unsandboxed, form, seconds,
            Path(witness_dir) if witness_dir else None, timeline, base, submission or None,
        )  # fmt: skip
        return cli_probe.run(asked, write, *screen(True))

    raise typer.Exit(guarded(body, verbose))


cli_bpb.register(app)
cli_sweep.register(app)
cli_board.register(app)
cli_rerun.register(app)


@app.command()
def rules() -> None:
    """List the rules with their rulings."""

    def body() -> int:
        from auditor.report.rules import listing
        from rules import load_rules

        write(listing(load_rules()))
        return 0

    raise typer.Exit(guarded(body, False))


@app.command()
def explain(rule_id: Annotated[str, typer.Argument(metavar="RULE_ID")] = "") -> None:
    """Print everything known of one rule: ruling, authority, limits, examples."""

    def body() -> int:
        from auditor.report.rules import explanation
        from rules import load_rules

        known = load_rules()
        if rule_id not in known:
            import difflib

            near = difflib.get_close_matches(rule_id, known, 3)
            hint = f"; close: {', '.join(near)}" if near else "; golf-audit rules lists them"
            raise Misuse(
                f"there is no rule {rule_id!r}{hint}" if rule_id else "name a rule; golf-audit rules lists them"
            )
        write(explanation(known[rule_id]))
        return 0

    raise typer.Exit(guarded(body, False))


@app.command()
def doctor(
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text or json.")] = "text",
) -> None:
    """Say what this machine can do: torch, sandbox, memory. The exit code is 0 whatever is found; json carries it."""

    def body() -> int:
        from auditor import doctor as machine

        if form not in ("text", "json"):
            raise Misuse(f"doctor prints text or json; not {form!r}")
        seen = machine.examine()
        write(machine.as_json(seen) if form == "json" else machine.as_text(seen))
        return 0

    raise typer.Exit(guarded(body, False))


def parse_witnesses(text: str, default: tuple[Witness, ...], no_probe: bool) -> tuple[Witness, ...]:
    """A comma-separated list; raises `Misuse` for a name that is no witness."""
    if not text:
        return default
    chosen: list[Witness] = []
    for name in text.split(","):
        try:
            chosen.append(Witness(name.strip()))
        except ValueError:
            raise Misuse(f"unknown witness {name.strip()!r}: use source, record, behaviour") from None
    if no_probe:
        chosen = [w for w in chosen if w is not Witness.BEHAVIOUR]
    return tuple(dict.fromkeys(chosen))


def exit_code(verdict: Verdict, least: Verdict) -> int:
    """The verdict's exit code, or 0 when it is less severe than ``least``."""
    return EXIT[verdict] if SEVERITY.index(verdict) >= SEVERITY.index(least) else 0


def _verdict(text: str) -> Verdict:
    allowed = [v.value for v in reversed(SEVERITY) if v is not Verdict.NO_VIOLATION_FOUND]
    if text not in allowed:
        raise Misuse(f"--fail-on takes {', '.join(allowed)}; not {text!r}")
    return Verdict(text)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Misuse(f"--as-of takes a date as YYYY-MM-DD; not {text!r}") from None


def guarded(body: Callable[[], int], verbose: bool) -> int:
    """Run a command; every way to fail gives its exit code and one line on stderr, a traceback only if ``verbose``."""
    from auditor.core.suppress import ConfigError
    from auditor.engine import IntakeError, UsageError

    try:
        return body()
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except (Misuse, UsageError, ConfigError, IntakeError) as error:
        return _complain(error, USAGE)
    except Exception as error:
        if verbose:
            traceback.print_exc()
        return _complain(f"the tool itself failed: {type(error).__name__}: {error} (--verbose shows where)", FAILED)


def _complain(message: object, code: int) -> int:
    from auditor.core.text import plain

    if sys.stderr is not None:
        with contextlib.suppress(BrokenPipeError):
            print(f"golf-audit: {plain(message, 600)}", file=sys.stderr, flush=True)
    return code


def main(argv: list[str] | None = None) -> None:
    """Entry point of the ``golf-audit`` script; always ends in `SystemExit`."""
    arguments = with_command(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in LATER_COMMANDS:
        sys.exit(_complain(f"the command {arguments[0]} comes with a later version", USAGE))
    try:
        sys.exit(app(arguments, standalone_mode=False, prog_name="golf-audit") or 0)
    except typer.Abort:
        sys.exit(_complain("interrupted", INTERRUPTED))
    except Exception as error:
        describe = getattr(error, "format_message", None)  # click's own usage errors, whichever click typer brings
        if describe is None:
            sys.exit(_complain(f"the tool itself failed: {type(error).__name__}: {error}", FAILED))
        sys.exit(_complain(f"{describe()} (golf-audit --help)", USAGE))


def with_command(arguments: list[str]) -> list[str]:
    """Put ``audit`` in front where no command is named, and give a bare ``--show-source`` its empty value."""
    if not arguments or arguments[0] in (*COMMANDS, *LATER_COMMANDS, "--help", "--version"):
        return _show_source(arguments) if arguments else ["audit"]
    return ["audit", *_show_source(arguments)]


def _show_source(arguments: list[str]) -> list[str]:
    """``--show-source`` takes a file name when one follows; the folder may stand before or after it."""
    if "--show-source" not in arguments:
        return arguments
    at = arguments.index("--show-source")
    rest = arguments[at + 1 :]
    value = rest[0] if rest and not rest[0].startswith("-") else ""
    others = arguments[:at] + (rest[1:] if value else rest)
    folder_named = any(Path(a).is_dir() for a in others if not a.startswith("-"))
    if value and not folder_named and Path(value).is_dir():
        others, value = [*others, value], ""
    return [*others, f"--show-source={value}"]


if __name__ == "__main__":
    main()
