"""Isolation for untrusted code: what this machine can enforce, limits, start and stop. Standard library only."""

from auditor.sandbox.bubblewrap import Bind
from auditor.sandbox.levels import Detection, Level, NoIsolation, detect
from auditor.sandbox.limits import Limits
from auditor.sandbox.process import Result, Sandboxed, run, start
from auditor.sandbox.scratch import Scratch, Unsafe

__all__ = [
    "Bind",
    "Detection",
    "Level",
    "Limits",
    "NoIsolation",
    "Result",
    "Sandboxed",
    "Scratch",
    "Unsafe",
    "detect",
    "run",
    "start",
]
