"""Seeds run for real: the environment is made, the GPUs are tried, and each seed gets a folder of its own."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from auditor.core.text import plain
from auditor.rerun import environment, folder, launch, leftovers
from auditor.rerun.environment import Interpreter, SetupError, version_of
from auditor.rerun.facts import SeedRun
from auditor.rerun.interrupts import quiet
from auditor.rerun.launch import Launch
from auditor.rerun.seedrun import SeedSpec, run_seed
from auditor.rerun.series import Job
from auditor.sandbox import Bind, scratch

TRIAL_SECONDS = 180.0
_TRIAL = (
    "import torch\n"
    "n = torch.cuda.device_count()\n"
    "x = [float(torch.ones(8, device=f'cuda:{i}').sum()) for i in range(n)]\n"
    "print('golf-audit-trial', n, torch.__version__, flush=True)\n"
)
_DEVICES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset", "nvidia-caps")


@dataclass
class RealRunner:
    """See `auditor.rerun.series.Runner`."""

    job: Job
    python: Interpreter = field(init=False)
    torch: str = ""

    def __post_init__(self) -> None:
        """Nothing is made before `prepare`."""
        self.python = self.job.plan.python

    @property
    def isolated(self) -> bool:
        """Whether bubblewrap stands around the run."""
        return self.job.plan.isolation != "none"

    def prepare(self) -> None:
        """Install the requirements; see that the GPUs can be used from where the run will be."""
        plan, job = self.job.plan, self.job
        if plan.environment.requirements:
            job.watcher.say(f"installing {plan.environment.requirements}")
        self.python = environment.build(
            plan.environment, plan.python, job.scratch / "environment", job.folder / "setup.log"
        )
        self.torch = next((v for s in (self.python.site, plan.python.site) if (v := version_of("torch", s))), "")
        if plan.processes:
            job.watcher.say("trying the GPUs")
            self._try_gpus()

    def close(self) -> None:
        """The scratch folder goes with the series."""

    def run(self, seed: int, name: str) -> SeedRun:
        """One seed in a folder of its own, which is removed after it."""
        job, plan = self.job, self.job.plan
        place = job.scratch / name
        run = place / "run"
        job.watcher.say(f"seed {seed}: laying out its folder")
        folder.lay_out(job.submission, run)
        data = Path(plan.data.folder) if plan.data.folder else None
        binds = folder.link_data(data, plan.data.entries, run, self.isolated) if data is not None else []
        argv = launch.with_seed(plan.argv, seed)
        settings = {n: v for n, v, _ in plan.settings}
        started = Launch(
            launch.command(self.python.program, plan.script, argv, plan.launcher, plan.processes),
            folder.RUN if self.isolated else str(run),
            self._environment(settings, seed, place), self.isolated, (*self._places(place), *binds),
        )  # fmt: skip
        spec = SeedSpec(
            seed, started, run, job.folder, job.options.limits, plan.gpus, job.submission, job.facts,
            plan.code_bytes, place, job.watcher.now, job.watcher.line,
            on_start=lambda pid: leftovers.note(job.folder, seed, pid, job.scratch),
        )  # fmt: skip
        done = run_seed(spec, name)
        with quiet():
            leftovers.forget(job.folder)
            with suppress(OSError):
                scratch.remove(place)
        return done

    def _environment(self, settings: dict[str, str], seed: int, place: Path) -> dict[str, str]:
        made = launch.environment(settings, seed, self.python.program, self.isolated)
        if not self.isolated:
            made |= {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp")}
        return made

    def _places(self, place: Path) -> tuple[Bind, ...]:
        """What the run can see and write: its home with its folder; read-only the interpreter; the GPUs."""
        for name in ("home", "tmp", "run"):
            (place / name).mkdir(parents=True, exist_ok=True)
        if not self.isolated:
            return ()
        wanted = [Path(p) for p in self.python.prefixes if not p.startswith("/usr/") and p != "/usr"]
        site = Path(self.job.plan.python.site)
        wanted += [] if str(site).startswith("/usr/") else [site]
        prefixes = [Bind(p, str(p)) for p in wanted if p.is_dir()]
        (place / "home" / "run").mkdir(exist_ok=True)
        writable = [Bind(place / "home", "/golf", True), Bind(place / "run", folder.RUN, True)]
        return (*prefixes, *_libraries(), *writable, *(devices() if self.job.plan.processes else ()))

    def _try_gpus(self) -> None:
        place = self.job.scratch / "trial"
        trial = Launch(
            (self.python.program, "-c", _TRIAL), "/golf" if self.isolated else str(self.job.scratch),
            self._environment({}, 0, place), self.isolated, self._places(place),
        )  # fmt: skip
        status, lines = launch.answers(trial, TRIAL_SECONDS)
        said = next((line.text for line in lines if line.text.startswith("golf-audit-trial")), "")
        found = re.match(r"golf-audit-trial (\d+) ", said)
        count = int(found.group(1)) if found else 0
        if status == 0 and count >= self.job.plan.processes:
            return
        last = next((line.text for line in reversed(lines) if line.text.strip()), "it said nothing")
        why = f"{count} of {self.job.plan.processes} GPUs" if found else plain(last, 300)
        where = " inside bubblewrap (--unsandboxed runs without isolation)" if self.isolated else ""
        raise SetupError(f"torch cannot use the GPUs{where}: {why}")


def _libraries() -> list[Bind]:
    """Folders of CUDA's libraries that lie outside /usr, where the environment names them."""
    named = [os.environ.get(name, "") for name in ("LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH")]
    folders = [Path(p) for text in named for p in text.split(os.pathsep) if p.startswith("/") and p.count("/") > 1]
    return [Bind(p, str(p)) for p in dict.fromkeys(folders) if p.is_dir() and not p.is_relative_to("/usr")]


def devices() -> list[Bind]:
    """Files of the GPUs, and what the driver tells of the machine's bus."""
    found = [p for p in sorted(Path("/dev").glob("nvidia[0-9]*")) if p.name.removeprefix("nvidia").isdigit()]
    found += [path for name in _DEVICES if (path := Path("/dev") / name).exists()]
    bus = [Bind(Path("/sys"), "/sys")] if Path("/sys").is_dir() else []
    return [*(Bind(path, str(path), device=True) for path in found), *bus]
