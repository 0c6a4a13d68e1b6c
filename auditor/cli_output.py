"""Where a command's text goes: formats and their files, the terminal, a pipe whose reader has left."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.core.types import AuditReport

FORMATS = ("text", "json", "markdown", "sarif", "github", "html")


class Misuse(Exception):
    """Wrong usage: the message is one sentence."""


def parse_formats(asked: list[str]) -> list[tuple[str, str | None]]:
    """``json=FILE`` to (name, file); raises `Misuse` for an unknown format, or two formats on one output."""
    outputs: list[tuple[str, str | None]] = []
    for item in asked or ["text"]:
        name, equals, file = item.partition("=")
        if name not in FORMATS:
            raise Misuse(f"unknown format {name!r}: use {', '.join(FORMATS)}, each also as FORMAT=FILE")
        if equals and not file:
            raise Misuse(f"--format {name}= names no file")
        outputs.append((name, file or None))
    targets = [file for _, file in outputs]
    if len(set(targets)) < len(targets):
        raise Misuse(
            "two formats would go to the same place: give all but one a file of its own, as --format json=FILE"
        )
    return sorted(outputs, key=lambda output: output[1] is None)


def deliver(report: AuditReport, name: str, file: str | None, verbose: bool) -> None:
    """Write the report in format ``name`` to ``file``, or to standard output. Raises `Misuse`."""
    text = render(report, name, file is None, verbose)
    if file is None:
        write(text)
        return
    try:
        Path(file).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise Misuse(f"cannot write {file}: {error.strerror or error}") from error


def render(report: AuditReport, name: str, to_terminal: bool, verbose: bool) -> str:
    """The report as text in format ``name``; ``to_terminal``: as wide and as colourful as standard output is."""
    if name != "text":
        renderer: Callable[[AuditReport], str] = importlib.import_module(f"auditor.report.{name}").render
        return renderer(report)
    from auditor.report import terminal

    width, color = screen(to_terminal)
    return terminal.render(report, width=width, color=color, verbose=verbose)


def screen(to_terminal: bool) -> tuple[int, bool]:
    """Columns, and whether colour is wanted there."""
    on_tty = to_terminal and sys.stdout is not None and sys.stdout.isatty()
    color = on_tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = os.get_terminal_size(sys.stdout.fileno()).columns if on_tty else 80
    return width or 80, color


def write(text: str) -> None:
    """Print; what the output's encoding cannot hold becomes an escape.

    A reader who has left (``| head``) or never was there (``>&-``) is no error: the exit code stays the verdict's.
    """
    if sys.stdout is None:
        return
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


