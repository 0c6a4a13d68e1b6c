"""``golf-audit-hook``: for pre-commit, which names the files of a commit: audits each submission folder they lie in."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from auditor import cli

WITH_VALUE = ("--fail-on", "--witness", "--as-of", "--config", "--base")
"""Options of ``golf-audit audit`` that take a value and may stand before the files."""


def folders(files: Iterable[str]) -> list[str]:
    """The submission folders (``records/TRACK/NAME``, or ``records/NAME``) that hold ``files``, each once, sorted."""
    found = set()
    for file in files:
        parts = PurePosixPath(file.replace("\\", "/")).parts
        if "records" not in parts:
            continue
        at = parts.index("records")
        depth = 3 if len(parts) > at + 1 and parts[at + 1].startswith("track") else 2
        if len(parts) > at + depth:  # a file below the folder, not one beside it
            found.add("/".join(parts[: at + depth]))
    return sorted(found)


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options for ``golf-audit audit``, and files."""
    options: list[str] = []
    rest = list(arguments)
    while rest and rest[0].startswith("--"):
        if rest[0] == "--":
            return options, rest[1:]
        count = 2 if rest[0] in WITH_VALUE else 1
        options += rest[:count]
        rest = rest[count:]
    return options, rest


def audit(folder: str, options: Sequence[str]) -> int:
    """Exit code of one audit."""
    code: object = None
    try:
        cli.main(["audit", folder, *options])
    except SystemExit as end:
        code = end.code
    return code if isinstance(code, int) else int(code is not None)


def main(argv: list[str] | None = None) -> None:
    """Entry point; ends in `SystemExit` with the first exit code that is not 0. Folders that are gone are passed by."""
    options, files = split(sys.argv[1:] if argv is None else argv)
    codes = [audit(folder, options) for folder in folders(files) if Path(folder).is_dir()]
    sys.exit(next((code for code in codes if code), 0))
