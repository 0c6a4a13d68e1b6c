"""What a re-run will do, made before anything of it is done."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from auditor.behaviour.audit import code_bytes, why_not
from auditor.core.guard import Answer, contained
from auditor.core.submission import Submission
from auditor.record.facts import RecordFacts
from auditor.rerun import meter, result
from auditor.rerun.data import DataCheck, check, names_in
from auditor.rerun.environment import EnvironmentPlan, Interpreter, interpreter
from auditor.rerun.environment import plan as plan_environment
from auditor.rerun.facts import Hardware
from auditor.rerun.launch import command
from auditor.rerun.options import Options
from auditor.rerun.record import Identity
from auditor.rerun.seedrun import disk_free
from auditor.sandbox import Level, detect

GIB = 1 << 30
SCRATCH_BYTES = 2 * GIB
"""For one run on GPUs: the copy of the folder, a checkpoint of float weights, caches of the compiler."""
RECORD_BYTES = GIB // 4
ENVIRONMENT_BYTES = 8 * GIB
READ_SECONDS = 60.0
"""Of processor time, for the submission's own record."""
_DATA_PATH = re.compile(r"(?:^|/)((?:datasets|tokenizers)/[\w.-]+(?:/[\w.*-]*)?)$")


class CannotPlan(ValueError):
    """What was asked cannot be done on this machine, or with this submission; one sentence."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is decided before the start."""

    submission: str
    script: str
    script_sha256: str
    code_sha256: str
    code_bytes: int
    environment: EnvironmentPlan
    python: Interpreter
    data: DataCheck
    settings: tuple[tuple[str, str, str], ...]
    """(name, value, origin)."""
    argv: tuple[str, ...]
    command: tuple[str, ...]
    launcher: str
    processes: int
    gpus: tuple[int, ...]
    """Indices of the GPUs in use."""
    hardware: Hardware
    isolation: str
    """``bubblewrap`` or ``none``."""
    seeds: tuple[int, ...]
    folder: str
    """Of the record."""
    disk_wanted: int
    disk_free: int
    toy: bool
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """Why it would not be started: each ends a re-run as ``setup_failed``."""
    facts: RecordFacts = field(default_factory=RecordFacts)
    """What the submission's own record states."""

    @property
    def identity(self) -> Identity:
        """What a record must be of to be continued by this plan."""
        values = tuple((name, value) for name, value, _ in self.settings)
        gpus = self.hardware.gpus
        return Identity(self.script_sha256, self.code_sha256, values, self.processes, self.toy, self.data.digest, gpus)


def load(path: Path, base: str, name: str | None, options: Options) -> Submission:
    """The submission, where it can be run here. Raises intake's errors and `CannotPlan`."""
    from auditor.intake import load_submission

    submission = load_submission(path, base=base, name=name)
    if submission.entry is None:
        raise CannotPlan("the folder has no script that could be read")
    if options.toy and (reason := why_not(options.unsandboxed)):
        raise CannotPlan(f"the submission was not run: {reason}")
    return submission


def make_plan(submission: Submission, options: Options, folder: Path, digests: bool = True) -> Plan:
    """Look at the submission and at this machine; nothing is written, installed or run.

    Raises `CannotPlan`, and `auditor.rerun.environment.SetupError` where ``--python`` is none.
    """
    entry = submission.entry
    assert entry is not None
    found = () if options.toy else meter.gpus()
    processes = _processes(options, len(found))
    launcher = options.launcher or ("torchrun" if processes else "python")
    python = interpreter(options.python)
    environment = EnvironmentPlan(python.program, python.version) if options.toy else plan_environment(
        submission.root, python, options.wheels, options.install)  # fmt: skip
    settings, notes = _settings(submission, options)
    wanted = names_in(entry.text, [value for _, value, _ in settings]) if options.data is not None else ()
    data = check(None if options.toy else options.data, wanted, digests)
    free, disk = disk_free(folder), _disk_wanted(options, processes, environment)
    problems = [*data.problems, *([environment.problem] if environment.problem else [])]
    if free < disk:
        problems.append(f"{disk:,} bytes of disk are wanted for {folder} and the run, {free:,} are free")
    facts, unread = stated(submission)
    notes += [*unread, *_longer(facts, options)]
    notes += [*environment.notes, *_notes(submission, options, processes, found)]
    used = found[:processes]
    hardware = Hardware(
        tuple(g.name for g in used), used[0].memory_bytes if used else None, used[0].driver if used else "",
        environment.torch, max(processes, 1), options.toy,
    )  # fmt: skip
    argv = submission.launch.argv
    return Plan(
        submission=submission.name, script=entry.path, script_sha256=entry.sha256, code_sha256=_code_sha(submission),
        code_bytes=code_bytes(submission) or 0, environment=environment, python=python, data=data, settings=settings,
        argv=argv, command=command("python", entry.path, argv, launcher, processes), launcher=launcher,
        processes=processes, gpus=tuple(g.index for g in used), hardware=hardware, isolation=_isolation(options),
        seeds=options.asked_seeds, folder=str(folder), disk_wanted=disk, disk_free=free, toy=options.toy,
        notes=tuple(notes), problems=tuple(problems), facts=facts,
    )  # fmt: skip


def stated(submission: Submission) -> tuple[RecordFacts, list[str]]:
    """What the submission's record states; a note where it could not be read."""
    read = contained(lambda: result.stated_record(submission), seconds=READ_SECONDS)
    if isinstance(read, Answer):
        return read.value, []
    return RecordFacts(), [f"what the submission states could not be read: {read.reason}"]


def _longer(facts: RecordFacts, options: Options) -> list[str]:
    """A note where the claimed run trained for longer than this one may."""
    seconds = max((run.stop.train_seconds for run in facts.judged() if run.stop), default=0.0)
    if options.toy or seconds <= options.limits.train + options.limits.grace:
        return []
    return [f"the claimed run trained for {seconds:,.0f} s: --limit-train {seconds:.0f} lets this one do the same"]


def _processes(options: Options, gpus: int) -> int:
    if options.toy:
        return 0
    if options.gpus is None:
        if gpus == 0:
            raise CannotPlan(
                "no GPU was found (nvidia-smi): --toy runs the submission at toy scale, "
                "--gpus 0 starts the script as it is without a GPU"
            )
        return gpus
    if options.gpus > gpus and gpus:
        raise CannotPlan(f"--gpus {options.gpus}: this machine has {gpus}")
    return options.gpus


def _isolation(options: Options) -> str:
    """The level in force. Raises `CannotPlan` where code of strangers would run without any."""
    found = detect()
    if found.level is not Level.NONE and not (options.unsandboxed and not options.toy):
        return found.level.value
    if options.unsandboxed:
        return Level.NONE.value
    hint = f"; {found.hint}" if found.hint else ""
    raise CannotPlan(
        f"nothing isolates untrusted code here: {found.reason}{hint} (or --unsandboxed runs it without isolation)"
    )


def _settings(submission: Submission, options: Options) -> tuple[tuple[tuple[str, str, str], ...], list[str]]:
    """Environment variables of the claimed launch; paths of its author's machine become those of ``--data``."""
    made: list[tuple[str, str, str]] = []
    notes = list(submission.launch.notes[:12])
    for name, setting in sorted(submission.launch.env.items()):
        value, origin = setting.value, f"{setting.how}, {setting.origin}"
        path = _DATA_PATH.search(value.rstrip("/"))
        if options.data is not None and path is not None:
            origin = f"{origin}; {value} there" if value != f"./data/{path.group(1)}" else origin
            value = f"./data/{path.group(1)}"
        made.append((name, value, origin))
    return tuple(made), notes


def _notes(submission: Submission, options: Options, processes: int, found: tuple[meter.Gpu, ...]) -> list[str]:
    notes = []
    text = submission.entry.text if submission.entry is not None else ""
    if not options.toy and len(options.asked_seeds) > 1 and "SEED" not in text and "--seed" not in text:
        notes.append("the script reads no SEED: its runs differ by nothing that this tool sets")
    logged = sorted({log.seed for log in submission.logs if log.seed is not None})
    if not options.toy and logged and not set(logged) & set(options.asked_seeds):
        notes.append(f"the logs are of other seeds: --seeds {','.join(map(str, logged[:8]))}")
    if not options.toy and options.data is None:
        notes.append("no --data: the script must find its data by itself")
    world = submission.launch.world_size
    if not options.toy and processes and processes != (world or 8):
        notes.append(
            f"{processes} processes, not {world or 8}: evaluation takes about {(world or 8) / processes:g} times as "
            "long as claimed; --limit-eval allows it"
        )
    if not options.toy and processes and len({g.name for g in found[:processes]}) > 1:
        notes.append("the GPUs are not of one kind")
    return notes


def _disk_wanted(options: Options, processes: int, environment: EnvironmentPlan) -> int:
    if options.toy:
        return RECORD_BYTES
    installs = ENVIRONMENT_BYTES if any(not line.startswith("-") for line in environment.lines) else 0
    if not processes:
        return RECORD_BYTES + installs
    return SCRATCH_BYTES + RECORD_BYTES * len(options.asked_seeds) + installs


def _code_sha(submission: Submission) -> str:
    entry = (submission.entry,) if submission.entry is not None else ()
    parts = sorted(f"{f.path} {f.sha256}" for f in (*entry, *submission.modules))
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def document(plan: Plan, options: Options) -> dict[str, Any]:
    """The plan as JSON."""
    return {
        "submission": plan.submission, "script": plan.script, "script_sha256": plan.script_sha256,
        "code_bytes": plan.code_bytes, "toy": plan.toy, "environment": asdict(plan.environment),
        "data": asdict(plan.data), "command": list(plan.command), "launcher": plan.launcher,
        "processes": plan.processes, "hardware": asdict(plan.hardware), "isolation": plan.isolation,
        "settings": [{"name": n, "value": v, "origin": o} for n, v, o in plan.settings], "seeds": list(plan.seeds),
        "limits": asdict(options.limits), "record": plan.folder, "disk_wanted": plan.disk_wanted,
        "disk_free": plan.disk_free, "notes": list(plan.notes), "problems": list(plan.problems),
    }  # fmt: skip


def shown_command(plan: Plan) -> str:
    """The launch as one would type it."""
    words = list(plan.command)
    if words[1:3] == ["-m", "torch.distributed.run"]:
        words[:3] = ["torchrun"]
    return " ".join(shlex.quote(word) for word in words)
