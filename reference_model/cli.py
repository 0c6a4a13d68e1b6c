"""The reference's command line: every module of ``commands`` with a function ``register(app)`` adds its commands."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module

import typer

from reference_model import commands

USAGE, INTERRUPTED = 2, 130

app = typer.Typer(
    name="reference_model",
    help="The reference implementation: describe, train, quantise, evaluate and export a preset.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _top() -> None:
    """Keeps a single command from becoming the program itself."""


def register_all(target: typer.Typer) -> None:
    """Add the commands of every module of ``commands``, in the order of their names."""
    for entry in sorted(pkgutil.iter_modules(commands.__path__), key=lambda entry: entry.name):
        module = import_module(f"{commands.__name__}.{entry.name}")
        if hasattr(module, "register"):
            module.register(target)


def main(argv: list[str] | None = None) -> None:
    """Entry point; always ends in `SystemExit`: 2 with one sentence on stderr for wrong input."""
    if not app.registered_commands:
        register_all(app)
    arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        sys.exit(app(arguments, standalone_mode=False, prog_name="reference_model") or 0)
    except typer.Abort:
        sys.exit(_complain("interrupted", INTERRUPTED))
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        sys.exit(_complain(sentence, USAGE))


def _sentence(error: Exception) -> str | None:
    """What is said about wrong input; None for a fault of ours, which shows its traceback."""
    describe = getattr(error, "format_message", None)  # click's own usage errors
    if describe is not None:
        return str(describe()) or None
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    ours = type(error).__module__.partition(".")[0] == __package__
    return str(error) if ours and isinstance(error, ValueError) else None


def _complain(text: str, status: int) -> int:
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    return status
