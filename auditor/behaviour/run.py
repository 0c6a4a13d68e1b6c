"""One run of a script with what the host made of it: located scores, printed reports, the passes behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from auditor.behaviour import passes
from auditor.behaviour.host import RunLog
from auditor.behaviour.scores import Locator, ScoreTable, table
from auditor.behaviour.toyworld.spec import Stream, WorldSpec
from auditor.behaviour.wire import Event


@dataclass
class Run:
    """A run on one validation stream. ``stated`` are the log lines of the claimed score, when known."""

    log: RunLog
    stream: Stream
    spec: WorldSpec
    stated: tuple[str, ...] = ()
    name: str = "A"
    source: str = ""
    """The script's text, by which it is known what it can print."""
    _passes: dict[int, passes.Pass | None] = field(default_factory=dict)

    @property
    def events(self) -> list[Event]:
        """All events, in order."""
        return self.log.events

    @cached_property
    def scores(self) -> ScoreTable:
        """Every score, located."""
        return table(self.events, Locator(self.stream, self.spec))

    @cached_property
    def reports(self) -> list[passes.Report]:
        """Printed lines with numbers."""
        return passes.reports(self.events)

    @cached_property
    def headline(self) -> passes.Report | None:
        """The line that states the score."""
        return passes.headline(self.reports, self.stated, self.source)

    @cached_property
    def judged(self) -> passes.Pass | None:
        """The pass behind the headline; where none matches, the model's last losses before it."""
        if self.headline is None:
            return None
        return self.pass_of(self.headline) or passes.last_sweep(self.headline, self.scores)

    def pass_of(self, report: passes.Report) -> passes.Pass | None:
        """The pass behind any printed line."""
        if report.seq not in self._passes:
            self._passes[report.seq] = passes.find_pass(report, self.events, self.scores)
        return self._passes[report.seq]

    @cached_property
    def updates(self) -> NDArray[np.int64]:
        """Event numbers at which an optimizer stepped, or gradients were taken where none ever steps."""
        steps = [e.seq for e in self.events if e.kind == "Stepped"]
        return np.asarray(steps or [e.seq for e in self.events if e.kind == "Trained"], np.int64)
