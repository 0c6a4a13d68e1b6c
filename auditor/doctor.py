"""What this machine can do for an audit: ``golf-audit doctor``. Looks, tries the sandbox, and never imports torch."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import textwrap
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from auditor import __version__
from auditor.core.types import Witness
from auditor.sandbox import Detection, Level, detect

ASK_SECONDS = 10.0
GIB = 1 << 30
NEEDED_MEMORY = 2 * GIB
"""Bytes available below which the behaviour witness is warned of."""
NEWER = ("python3.14", "python3.13", "python3.12")
INSTALL_TORCH = "pip install 'golf-audit[torch]'"
NO_RERUN = "no GPU to make one; the record of one made elsewhere is heard (--rerun-record)"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing looked at: ``value`` is None when it is not there; ``hint`` says what to do about that."""

    name: str
    value: str | None
    note: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Ability:
    """Can a witness be heard on this machine, and if not, why not."""

    witness: str
    able: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """All facts and what follows from them."""

    tool_version: str
    facts: tuple[Fact, ...]
    witnesses: tuple[Ability, ...]


def examine() -> Examination:
    """Look at everything. Takes about 0.1 s, or as long as ``nvidia-smi`` where there is one."""
    found = detect()
    facts = (system(), python(), torch(), sandbox(found), cores(), memory(), git(), newer_python(), gpus())
    return Examination(__version__, facts, abilities(facts[2], found, facts[-1]))


def abilities(torch_fact: Fact, found: Detection, gpu: Fact | None = None) -> tuple[Ability, ...]:
    """What each witness needs, held against what is there."""
    lacking = [] if torch_fact.value else ["torch is not installed"]
    if found.level is Level.NONE:
        lacking.append(f"no sandbox ({found.reason}), and without one it runs only with --unsandboxed")
    return (
        Ability(Witness.SOURCE.value, True),
        Ability(Witness.RECORD.value, True),
        Ability(Witness.BEHAVIOUR.value, not lacking, "; ".join(lacking)),
        Ability(Witness.RERUN.value, able := gpu is not None and gpu.value is not None, "" if able else NO_RERUN),
    )


def system() -> Fact:
    """Operating system and machine."""
    return Fact("system", f"{platform.system()} {platform.release()}, {platform.machine()}")


def python() -> Fact:
    """The interpreter that runs this."""
    return Fact("python", platform.python_version())


def torch() -> Fact:
    """torch by its package's metadata: importing it would take seconds."""
    try:
        return Fact("torch", metadata.version("torch"))
    except metadata.PackageNotFoundError:
        return Fact("torch", None, hint=INSTALL_TORCH)


def sandbox(found: Detection) -> Fact:
    """The level in force, and why."""
    if found.level is Level.NONE:
        return Fact("sandbox", None, found.reason, found.hint)
    return Fact("sandbox", f"{found.level} {found.tool_version}", found.reason)


def cores() -> Fact:
    """Processors that this process may use."""
    return Fact("cores", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))


def memory(source: Path = Path("/proc/meminfo")) -> Fact:
    """Memory of the machine and what is available now."""
    try:
        lines = [line.split() for line in source.read_text(encoding="ascii").splitlines()]
        held = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}
        total, free = held["MemTotal"], held["MemAvailable"]
    except (OSError, KeyError, ValueError):
        return Fact("memory", None, "cannot be told")
    short = "" if free >= NEEDED_MEMORY else f"a probe may take up to {NEEDED_MEMORY / GIB:.0f} GiB"
    return Fact("memory", f"{total / GIB:.1f} GiB", f"{free / GIB:.1f} GiB available", short)


def git() -> Fact:
    """git, by which a checkout's own folder is found."""
    said = ask("git", "--version")
    hint = "install git to audit a checkout of a pull request (a submission folder needs none)"
    return Fact("git", said.removeprefix("git version ")) if said else Fact("git", None, hint=hint)


def newer_python() -> Fact:
    """A Python whose grammar takes scripts written for 3.12."""
    if sys.version_info >= (3, 12):
        return Fact("python 3.12+", platform.python_version(), "this one")
    for name in NEWER:
        said = ask(name, "--version")
        if said:
            return Fact("python 3.12+", said.removeprefix("Python "), shutil.which(name) or "")
    return Fact("python 3.12+", None, "of use only for scripts in its grammar")


def gpus() -> Fact:
    """Names and memory by ``nvidia-smi``."""
    said = ask("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    return Fact("gpu", "; ".join(said.splitlines())) if said else Fact("gpu", None, "needed to make a re-run")


def ask(program: str, *arguments: str) -> str:
    """What a program prints; empty when it is not there, fails, or takes too long."""
    found = shutil.which(program)
    if found is None:
        return ""
    try:
        done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False, timeout=ASK_SECONDS,
                              errors="replace")  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def as_json(seen: Examination) -> str:
    """One object: ``tool_version``, ``facts`` and ``witnesses`` as the classes here have them."""
    return json.dumps(asdict(seen), indent=2) + "\n"


def as_text(seen: Examination, width: int = 80) -> str:
    """Lines of at most ``width`` columns."""
    lines = [f"golf-audit {seen.tool_version}", ""]
    for fact in seen.facts:
        note = f" ({fact.note})" if fact.note else ""
        lines += row(fact.name, (fact.value or "none") + note, width)
        lines += row("", f"-> {fact.hint}", width) if fact.hint else []
    lines += ["", "Witnesses that this machine can hear"]
    for ability in seen.witnesses:
        lines += row(ability.witness, "yes" if ability.able else f"no: {ability.reason}", width)
    return "\n".join(lines) + "\n"


def row(name: str, text: str, width: int) -> list[str]:
    """A name and its text, wrapped below itself."""
    indent = " " * 16
    return textwrap.wrap(text, width, initial_indent=f"  {name:<14}", subsequent_indent=indent, break_on_hyphens=False)
