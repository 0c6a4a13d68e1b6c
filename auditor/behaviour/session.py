"""One submission's guest: its files laid out, the sandbox started, and runs on any validation stream.

The host writes only below ``base``, which the guest sees read-only; before each run the guest's server empties the
writable folders and copies ``base`` into them, so every run begins from the same files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from auditor.behaviour.guest.light import needs_real
from auditor.behaviour.host import Guest, RunCommand, RunLog
from auditor.behaviour.scale.model import Plan
from auditor.behaviour.toyworld.files import host_path
from auditor.behaviour.toyworld.layout import Places, lay_out, swap_val
from auditor.behaviour.toyworld.spec import Stream, World
from auditor.behaviour.wire import Event
from auditor.core.submission import Submission
from auditor.sandbox import Bind, Level, Limits, Sandboxed, Scratch, start

RUN = "/golf/run"
BASE = "/golf-base"
OWN = ("/golf", "/tmp", "/dev/shm")
"""Folders of an isolated guest alone, emptied before each run; without isolation they are the machine's."""
MIB = 1 << 20
MAX_COPY = 8 * MIB
GUEST_ENV = {
    "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TRITON_INTERPRET": "1",
    "TOKENIZERS_PARALLELISM": "false", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
}  # fmt: skip
LIMITS = Limits(cpu_seconds=600, wall_seconds=600, memory_bytes=3072 * MIB)


@dataclass
class Session:
    """A started guest with one submission laid out. Use as a context manager."""

    submission: Submission
    plan: Plan
    world: World
    unsandboxed: bool = False
    on_event: Callable[[Event], None] | None = None
    seed: int = 1234
    real_bfloat16: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    """Of torch and Python in the guest."""
    limits: Limits = LIMITS
    _scratch: Scratch = field(default_factory=Scratch)
    _places: Places = field(default_factory=Places)
    _tops: tuple[str, ...] = ()
    process: Sandboxed | None = None
    _guest: Guest | None = None

    def __enter__(self) -> Session:
        """Lay out the files, start the sandbox, wait until the guest is ready.

        Raises `NoIsolation`, `GuestGone`, OSError.
        """
        try:
            self._lay_out()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Kill the guest and remove its files."""
        self.close()

    def close(self) -> None:
        """Kill the guest and remove its files."""
        if self._guest is not None:
            self._guest.close()
            self._guest = None
        if self.process is not None:
            self.process.close()
        self._scratch.__exit__(None, None, None)

    @property
    def level(self) -> str:
        """The isolation in force."""
        return self.process.level.value if self.process is not None else ""

    def run(
        self,
        stream: Stream,
        wall_seconds: float,
        plan: Plan | None = None,
        perturb: bool | str = False,
        stop_after: tuple[str, str, int, int] | None = None,
        branch: bool = False,
    ) -> RunLog:
        """Run the script once on ``stream`` as the validation stream; ``plan`` replaces the session's own.

        ``perturb``, ``stop_after``, ``branch``: see `RunCommand`.
        """
        assert self._guest is not None
        if plan is not None and plan is not self.plan:
            self.plan = plan
            self._write_files()
        swap_val(stream, self._base, self._places)
        command = RunCommand(
            self.plan.script, self.plan.argv, self._env(), RUN, self.seed, wall_seconds,
            copy=tuple([(f"{BASE}/run", RUN)] + [(f"{BASE}/abs/{top}", f"/{top}") for top in self._tops]),
            empty=OWN if self.level == Level.BUBBLEWRAP.value else (),
            perturb=perturb, stop_after=stop_after, real_bfloat16=self.real_bfloat16, branch=branch,
        )  # fmt: skip
        return self._guest.run(command)

    def resume(self, number: int, wall_seconds: float, stop_after: tuple[str, str, int, int] | None) -> RunLog:
        """The rest of the last run, from its paused copy ``number`` on; ``stop_after`` counts from there."""
        command = RunCommand("", (), {}, RUN, self.seed, wall_seconds, stop_after=stop_after, resume=number)
        return self.send(command)

    @property
    def base(self) -> Path:
        """The host's folder that the guest sees read-only as `BASE`."""
        return self._base

    def send(self, command: RunCommand) -> RunLog:
        """Give the guest a command other than a plain run."""
        assert self._guest is not None
        return self._guest.run(command)

    def copies(self) -> tuple[tuple[str, str], ...]:
        """Folders that a run begins from: (below `BASE`, its place in the guest)."""
        return ((f"{BASE}/run", RUN), *((f"{BASE}/abs/{top}", f"/{top}") for top in self._tops))

    @property
    def _base(self) -> Path:
        return self._scratch.path / "base"

    def _env(self) -> dict[str, str]:
        plain = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/golf", "LANG": "C.UTF-8", "TMPDIR": "/tmp"}
        return {**self.plan.env, **GUEST_ENV, **plain}

    def _lay_out(self) -> None:
        (self._base / "run").mkdir(parents=True)
        (self._base / "abs").mkdir()
        self._write_files()
        self._places = lay_out(self.world, self.world.val, self._base, self.plan.data_paths)
        for folder in self.plan.folders:
            host_path(self._base, folder).mkdir(parents=True, exist_ok=True)
        self._tops = tuple(sorted(coverable(self._base / "abs", own_folders())))

    def _write_files(self) -> None:
        run = self._base / "run"
        for name in self.plan.copies:
            source, target = self.submission.root / name, run / name
            if source.is_symlink() or not source.is_file() or source.stat().st_size > MAX_COPY:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
        for name, text in self.plan.files.items():
            target = run / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", errors="surrogateescape")
        for path in run.rglob("*"):
            os.utime(path, (0, 1_700_000_000))

    def _start(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, True)
        writable = self._scratch.path / "work"
        (writable / "golf").mkdir(parents=True)
        binds = [Bind(writable / "golf", "/golf", True), Bind(self._base, BASE)]
        for top in self._tops:
            (writable / top).mkdir(parents=True)
            binds.append(Bind(writable / top, f"/{top}", True))
        argv = [sys.executable, "-m", "auditor.behaviour.guest.server", str(writer)]
        if not any(needs_real(text) for text in self.plan.files.values()):
            argv.append("--light")
        try:
            self.process = start(
                argv, binds=binds, cwd="/golf", env=GUEST_ENV, limits=self.limits, pass_fds=(writer,),
                unsandboxed=self.unsandboxed,
            )  # fmt: skip
        finally:
            os.close(writer)
        self.process.collect_stdout()
        self._guest = Guest(_Held(self.process), reader, self.on_event)
        self.versions = {name: str(value) for name, value in self._guest.ready().items()}


SYSTEM = frozenset(
    {"usr", "bin", "lib", "lib64", "etc", "proc", "dev", "tmp", "opt", "golf", "golf-base", "sys", "sbin"}
)
"""Top folders of the guest that no script's path may cover."""


def own_folders() -> frozenset[str]:
    """Folders of this interpreter and its packages, which the guest runs, and all folders above them."""
    own = (sys.executable, os.path.realpath(sys.executable), sys.prefix, sys.base_prefix, os.path.realpath(__file__))
    return frozenset(str(folder) for path in own for folder in (Path(path), *Path(path).parents))


def coverable(root: Path, own: frozenset[str], at: str = "") -> Iterator[str]:
    """Folders of ``root``, as paths without the first slash, that may be laid over the guest's: the uppermost ones
    that hide nothing of the system or of ``own``."""
    for folder in sorted(p for p in root.iterdir() if p.is_dir() and not p.is_symlink()):
        path = f"{at}{folder.name}"
        if not at and folder.name in SYSTEM:
            continue
        if f"/{path}" in own:
            yield from coverable(folder, own, f"{path}/")
        else:
            yield path


class _Held:
    """A `Sandboxed` as `Guest` wants it."""

    def __init__(self, process: Sandboxed) -> None:
        self._process = process
        self.stdin = process.stdin

    def kill(self) -> None:
        """Kill the guest."""
        self._process.kill()

    def errors(self) -> str:
        """Its standard error."""
        return self._process.stderr_bytes().decode("utf-8", "replace")
