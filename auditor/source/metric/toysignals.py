"""How the toy walker leaves a block."""

from __future__ import annotations

from typing import Any


class Budget(Exception):
    """The step budget is spent."""


class Signal(Exception):
    """Base of the control-flow signals."""


class Continue(Signal):
    """``continue``."""


class Break(Signal):
    """``break``."""


class Return(Signal):
    """``return`` with its value."""

    def __init__(self, value: Any) -> None:
        self.value = value
