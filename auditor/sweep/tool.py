"""Which tool judged: the version, and a digest of the code that a report depends on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from auditor import __version__

FACTS = 1
"""Of the normal form (`auditor.sweep.task`) that is kept beside a report."""
_NOT_JUDGING = re.compile(
    r"^auditor/(?:sweep/(?!child|foldersource|git|layout|row|task|trees)|board|rerun|cli|doctor\.py"
    r"|report/(?!json\.py|grouping\.py|schema)|.*__pycache__)"
)
"""Parts of the package whose change leaves every report, and the choice of what is audited, as it is."""


@cache
def tool() -> str:
    """``VERSION+DIGEST``: a changed rule is a changed tool, also between two releases."""
    total = hashlib.sha256()
    for package in ("auditor", "rules"):
        for name, file in sorted(_files(resources.files(package), package)):
            total.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return f"{__version__}+{total.hexdigest()[:12]}"


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for item in folder.iterdir():
        name = f"{prefix}/{item.name}"
        if _NOT_JUDGING.match(name):
            continue
        if item.is_dir():
            yield from _files(item, name)
        elif name.endswith((".py", ".json", ".toml")):
            yield name, item


def key(content: str, edition: str, options: Mapping[str, Any]) -> str:
    """Under which an audit is kept: another one under the same key would give the same report."""
    text = json.dumps([FACTS, content, tool(), edition, dict(sorted(options.items()))])
    return hashlib.sha256(text.encode()).hexdigest()
