"""How much of a hostile folder is looked at. Every limit that is hit becomes a problem in the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one intake. The real extremes in brackets are those of about 2,060 pull requests."""

    files: int = 5_000
    """Files and folders listed [largest real folder: under 400]."""
    depth: int = 12
    """Levels of folders [6]."""
    source_bytes: int = 2 << 20
    """Longest source, JSON, README or script that is read [0.3 MB]."""
    log_bytes: int = 8 << 20
    """Longest log that is read; the rest is cut and said so [3 MB]."""
    side_bytes: int = 32 << 20
    """Longest side file that a packed script may be decoded from."""
    total_bytes: int = 192 << 20
    """Bytes read from the folder in all."""
    sources: int = 400
    """Python and native files that are parsed."""
    logs: int = 200
    decoded_bytes: int = 8 << 20
    """Longest result of one decoding step of a packed script [0.3 MB]."""
    decoded_total: int = 64 << 20
    json_bytes: int = 1 << 20
    """Longest JSON file that is parsed [80 KB]."""
    layers: int = 8
    """Decoding steps on top of each other [2]."""
    steps: int = 400_000
    """Expressions evaluated for one packed script."""
    seconds: float = 10.0
    """Time for reading and decoding one folder; what is left then becomes a problem."""


LIMITS = Limits()
