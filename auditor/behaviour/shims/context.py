"""What every shim gets: the clock, the event channel, the table of torch functions, and reversible patching."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Handler = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Called as ``handler(func, args, kwargs)`` in place of a torch function; it may call ``func`` itself."""

_MISSING = object()


def _silent(kind: str, fields: Mapping[str, Any]) -> None:
    """Drop an event (tests, and shims installed without a recorder)."""


@dataclass
class VirtualClock:
    """Seconds since the start of the run, advanced by what the script does and never by the machine."""

    now: float = 0.0
    per_query: float = 0.001
    """Seconds that every reading of a clock takes."""

    def read(self) -> float:
        """Advance by one query and return the time in seconds."""
        self.now += self.per_query
        return self.now

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.now += seconds


@dataclass
class ShimContext:
    """The surroundings of one run of a script."""

    emit: Callable[[str, Mapping[str, Any]], None] = _silent
    """``emit(kind, fields)`` sends one event to the host; values are JSON values or numpy arrays."""
    handlers: dict[Any, Handler] = field(default_factory=dict)
    """Torch function to its stand-in, read by the `TorchFunctionMode` of the guest."""
    clock: VirtualClock = field(default_factory=VirtualClock)
    run_dir: str = "/golf/run"
    """The script's folder; frames below it are the submission's own."""
    seed: int = 0
    take_turns: bool = True
    """Let whoever starts a thread wait until it ends or falls idle."""
    real_bfloat16: bool = False
    """Compute in bfloat16 where the script does, instead of in float32."""
    _undo: list[Callable[[], None]] = field(default_factory=list)

    def patch(self, owner: Any, name: str, value: Any) -> Any:
        """Set ``owner.name`` and return what stood there (None when nothing did)."""
        old = getattr(owner, name, _MISSING)
        self.on_restore(lambda: _put_back(owner, name, old))
        setattr(owner, name, value)
        return None if old is _MISSING else old

    def on_restore(self, undo: Callable[[], None]) -> None:
        """Call ``undo`` on `restore`, for what is no attribute (``sys.modules``, the environment)."""
        self._undo.append(undo)

    def restore(self) -> None:
        """Undo every `patch`, last first (tests; a guest's process simply ends)."""
        while self._undo:
            self._undo.pop()()


def _put_back(owner: Any, name: str, old: Any) -> None:
    if old is _MISSING:
        delattr(owner, name)
    else:
        setattr(owner, name, old)
