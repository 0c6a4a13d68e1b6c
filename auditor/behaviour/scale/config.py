"""What the configuration files beside a script say: scalar values of JSON files, by key."""

from __future__ import annotations

import json
from collections.abc import Iterator

from auditor.core.submission import Submission

MAX_BYTES = 256 << 10
MAX_FILES = 12
_NO_CONFIG = frozenset({"submission.json", "package.json"})
Scalar = int | float | str | bool


def config_values(submission: Submission) -> dict[str, Scalar]:
    """Key to value of every scalar in the JSON files beside the script; a key with two values has none."""
    found: dict[str, Scalar] = {}
    doubled: set[str] = set()
    files = [f for f in submission.files if f.path.endswith(".json") and f.size <= MAX_BYTES]
    for file in files[:MAX_FILES]:
        path = submission.root / file.path
        if path.name in _NO_CONFIG or path.is_symlink() or not path.is_file():
            continue
        try:
            data = json.loads(path.read_text(encoding="utf-8", errors="replace"))
        except (ValueError, OSError, RecursionError):
            continue  # no JSON: the script cannot read it either
        for key, value in _scalars(data):
            if key in found and found[key] != value:
                doubled.add(key)
            found.setdefault(key, value)
    return {key: value for key, value in found.items() if key not in doubled}


def _scalars(data: object) -> Iterator[tuple[str, Scalar]]:
    """All (key, scalar) pairs of a JSON value."""
    queue = [data]
    while queue:
        current = queue.pop()
        if isinstance(current, dict):
            yield from ((k, v) for k, v in current.items() if isinstance(v, (int, float, str, bool)))
            queue += current.values()
        elif isinstance(current, list):
            queue += current
