"""Which tool judged: the version, and a digest of the code that a report depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from auditor import __version__

FACTS = 1
"""Of the normal form (`auditor.sweep.task`) that is kept beside a report."""
_NOT_JUDGING = ("sweep", "board", "rerun", "cli.py", "doctor.py")
"""Parts of the package whose change leaves every report as it is."""


@cache
def tool() -> str:
    """``VERSION+DIGEST``: a changed rule is a changed tool, also between two releases."""
    total = hashlib.sha256()
    for package, skipped in (("auditor", _NOT_JUDGING), ("rules", ())):
        for name, file in sorted(_files(resources.files(package), package, skipped)):
            total.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return f"{__version__}+{total.hexdigest()[:12]}"


def _files(folder: Traversable, prefix: str, skipped: tuple[str, ...]) -> Iterator[tuple[str, Traversable]]:
    for item in folder.iterdir():
        name = f"{prefix}/{item.name}"
        if item.name in skipped or item.name.startswith((".", "__pycache__", "cli_")):
            continue
        if item.is_dir():
            yield from _files(item, name, ())
        elif item.name.endswith((".py", ".json", ".toml")):
            yield name, item


def key(content: str, edition: str, options: Mapping[str, Any]) -> str:
    """Under which an audit is kept: another one under the same key would give the same report."""
    text = json.dumps([FACTS, content, tool(), edition, dict(sorted(options.items()))])
    return hashlib.sha256(text.encode()).hexdigest()
