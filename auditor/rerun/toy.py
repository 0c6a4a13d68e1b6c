"""Seeds run at toy scale: the behaviour witness's toy world and shims, in its sandbox, followed like a real run.

The script there runs under a clock that is not real, so durations that its lines state do not count: phases are cut by
the moments at which lines and files came, by the harness's clock.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from auditor.behaviour.host import GuestGone, RunLog, WireError
from auditor.behaviour.probe import failure_of
from auditor.behaviour.scale.implied import with_implied
from auditor.behaviour.scale.model import Plan
from auditor.behaviour.scale.plan import plan as make_plan
from auditor.behaviour.scale.retry import retry
from auditor.behaviour.session import Session
from auditor.behaviour.toyworld.spec import World
from auditor.behaviour.toyworld.stream import make_world
from auditor.behaviour.wire import Event
from auditor.core.submission import Submission
from auditor.core.text import plain
from auditor.rerun import result
from auditor.rerun.environment import SetupError
from auditor.rerun.facts import SeedEnd, SeedRun
from auditor.rerun.interrupts import quiet
from auditor.rerun.launch import Line
from auditor.rerun.options import TOY_SECONDS
from auditor.rerun.phases import Phases
from auditor.rerun.seedrun import Tape, present
from auditor.rerun.series import Job
from auditor.rerun.spans import counted
from auditor.sandbox import NoIsolation

MOST_TRIES = 8
TWICE = 0.05
"""Seconds within which a repeated line is the same one, printed to the screen and to a log file."""


@dataclass(slots=True)
class _Heard:
    """What one run told so far."""

    tape: Tape
    seed: int
    phases: Phases = field(default_factory=lambda: Phases(stated=False))
    begun: float = field(default_factory=time.monotonic)
    artifact: tuple[str, int] | None = None
    """The last file of weights that was written: (path, bytes)."""


@dataclass
class ToyRunner:
    """See `auditor.rerun.series.Runner`. A plan that the script refuses is tried again at another scale."""

    job: Job
    torch: str = ""
    _stack: ExitStack = field(default_factory=ExitStack)
    _session: Session | None = None
    _plan: Plan | None = None
    _world: World | None = None
    _bfloat16: bool = False
    _heard: _Heard | None = None

    def prepare(self) -> None:
        """Make the toy plan and the toy world, and start the sandbox."""
        self.job.watcher.say("making the toy world")
        submission = self._submission
        try:
            self._plan = make_plan(submission)
            self._world = make_world(self._plan.world)
            self._start()
        except (NoIsolation, GuestGone, WireError, ValueError, OSError) as error:
            raise SetupError(f"the toy run could not be set up: {plain(error, 300)}") from error

    def close(self) -> None:
        """End the sandbox."""
        self._stack.close()

    def run(self, seed: int, name: str) -> SeedRun:
        """One seed; the scale that came to its end serves the next ones too."""
        failed: list[str] = []
        begun = time.monotonic()
        try:
            for _ in range(MOST_TRIES):
                begun = time.monotonic()
                run, log = self._once(seed, name, begun)
                following = None if run.end is not SeedEnd.CRASHED or log is None else self._next(log)
                if following is None:
                    return replace(run, reason=_joined(run.reason, failed))
                failed.append(run.reason)
                self._again(following)
                self.job.watcher.say(f"seed {seed}: another scale, after: {plain(run.reason, 120)}")
        except KeyboardInterrupt:
            with quiet():
                self._stack.close()
                return SeedRun(seed, SeedEnd.INTERRUPTED, None, time.monotonic() - begun, reason="interrupted")
        return replace(run, reason=_joined(run.reason, failed))

    @property
    def _submission(self) -> Submission:
        """With the switches on that the logs prove to have been on."""
        return with_implied(self.job.submission, self.job.facts.templates.executed)

    def _start(self) -> None:
        assert self._plan is not None and self._world is not None
        self._session = Session(
            self.job.submission, self._plan, self._world, self.job.options.unsandboxed, self._on_event,
            real_bfloat16=self._bfloat16,
        )  # fmt: skip
        self._stack.enter_context(self._session)
        self.torch = self._session.versions.get("torch", "")

    def _again(self, plan: Plan) -> None:
        """Another plan in a fresh sandbox: the old one's files are of the old plan."""
        self._stack.close()
        self._stack = ExitStack()
        if self._plan is None or plan.world != self._plan.world:
            self._world = make_world(plan.world)
        self._plan = plan
        self._start()

    def _next(self, log: RunLog) -> Plan | None:
        assert self._plan is not None
        failure = failure_of(log)
        said = failure.message + " ".join(frame.source for frame in failure.frames)
        if not self._bfloat16 and ("bfloat16" in said or ".view(" in said):
            self._bfloat16 = True
            return self._plan
        slow = log.seconds > TOY_SECONDS / 3
        return None if slow else retry(self._plan, self._submission, failure)

    def _once(self, seed: int, name: str, begun: float) -> tuple[SeedRun, RunLog | None]:
        assert self._session is not None and self._plan is not None and self._world is not None
        seeded = replace(self._plan, env={**self._plan.env, "SEED": str(seed)})
        with Tape(self.job.folder, name) as tape:
            self._heard = heard = _Heard(tape, seed, begun=begun)
            log: RunLog | None = None
            try:
                log = self._session.run(self._world.val, TOY_SECONDS, seeded)
                end, reason = _end(log)
            except (GuestGone, WireError) as error:
                end, reason = SeedEnd.CRASHED, f"the sandbox was lost: {plain(error, 300)}"
            seconds = time.monotonic() - begun
            spans = heard.phases.close(seconds)
            tape.phases(spans)
        source = self.job.submission.entry.text if self.job.submission.entry is not None else ""
        said, unread = result.read_safely(tape.lines, tape.stamps, source)
        sums = counted(spans)
        path, size = heard.artifact or (None, None)
        status = log.status if log is not None else None
        return SeedRun(
            seed, end, status, seconds, spans, said.scores,
            result.headline(said.scores, self.job.submission, self.job.facts), said.steps, said.tokens, path, size,
            self.job.plan.code_bytes, sums.train, sums.evaluation, sums.train_strict, sums.evaluation_strict,
            reason="; ".join(filter(None, (reason, unread))), log=f"{name}.log",
        ), log  # fmt: skip

    def _on_event(self, event: Event) -> None:
        """Called for each event of the guest as it comes."""
        heard = self._heard
        if heard is None:
            return
        at = time.monotonic() - heard.begun
        if event.kind == "Printed":
            for text in str(event.fields["text"]).splitlines() or [""]:
                if heard.tape.lines and heard.tape.lines[-1] == text and at - heard.tape.stamps[-1] < TWICE:
                    continue  # the script prints to its log file too
                heard.tape.line(Line(at, "out", text))
                heard.phases.line(text, at)
                self.job.watcher.line(text)
        elif event.kind == "ArtifactWritten":
            path, size = str(event.fields["path"]).removeprefix("/golf/run/"), int(event.fields["bytes"])
            heard.tape.event("file", at, path=path, size=size)
            if heard.artifact is None:
                heard.phases.artifact(path, at)
            heard.artifact = (path, size)
        else:
            return
        last = heard.tape.lines[-1] if heard.tape.lines else ""
        self.job.watcher.now(present(heard.seed, heard.phases, at, self.job.options.limits, last))


def _end(log: RunLog) -> tuple[SeedEnd, str]:
    if log.ended:
        return SeedEnd.FINISHED, ""
    if log.timed_out:
        return SeedEnd.TIMED_OUT, f"killed: the toy run had {TOY_SECONDS:g} s of processor time"
    said = plain(log.failure(), 300)
    memory = "MemoryError" in said or "allocate memory" in said or "OutOfMemory" in said
    return (SeedEnd.OUT_OF_MEMORY if memory else SeedEnd.CRASHED), said


def _joined(reason: str, failed: list[str]) -> str:
    if not reason or not failed:
        return reason
    return f"{reason} (after {len(failed)} other scale(s))"
