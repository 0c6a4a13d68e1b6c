"""The Python in which a submission runs: its own virtual environment from its requirements, or the present one.

A requirements file is the submission's word, and installing from source executes code. So only wheels are installed
(nothing of them runs before the run itself), from lines that name a package, a version or the https address of a wheel;
other lines are a failed set-up with the line in it, for the person to settle and to come back with ``--no-install``.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from auditor.core.text import plain

REQUIREMENTS = "requirements.txt"
INSTALL_SECONDS = 1800.0
MOST_LINES = 500
_BOUND = r"[<>=!~]=?=?\s*[^;@,\s]+"
_NAMED = re.compile(rf"^[A-Za-z0-9][\w.-]*(?:\[[\w,\s.-]*\])?\s*(?:{_BOUND}(?:\s*,\s*{_BOUND})*)?\s*(?:;.*)?$")
_WHEEL = re.compile(r"^(?:[A-Za-z0-9][\w.-]*\s*@\s*)?https://\S+\.whl(?:[#?]\S*)?\s*(?:;.*)?$")
_INDEX = re.compile(r"^(?:--(?:extra-)?index-url|--find-links|-f|-i)[\s=]+https://\S+$")
_ASK = (
    "import json,sys,sysconfig;print(json.dumps([sys.prefix,sys.base_prefix,sys.exec_prefix,"
    "sysconfig.get_path('purelib'),sys.version.split()[0]]))"
)


class SetupError(Exception):
    """The environment, the data or the machine does not allow the run; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python on this machine."""

    program: str
    prefixes: tuple[str, ...]
    """Folders that it is made of."""
    site: str
    version: str


@dataclass(frozen=True, slots=True)
class EnvironmentPlan:
    """How the Python of the run is made."""

    python: str
    version: str
    requirements: str = ""
    """The submission's file, empty: it has none, or it is not installed."""
    lines: tuple[str, ...] = ()
    """What is installed."""
    wheels: str = ""
    """Folder of an offline installation."""
    notes: tuple[str, ...] = ()
    problem: str = ""
    torch: str = ""
    """Version that this Python has before the installation; empty: none."""


def interpreter(python: Path | None) -> Interpreter:
    """This Python, or the one at ``python`` (which is asked). Raises `SetupError`."""
    if python is None or python.absolute() == Path(sys.executable).absolute():
        prefixes = tuple(dict.fromkeys((sys.prefix, sys.base_prefix, sys.exec_prefix)))
        return Interpreter(sys.executable, prefixes, sysconfig.get_path("purelib"), sys.version.split()[0])
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", _ASK], capture_output=True, text=True, timeout=30, check=True, cwd="/"
        )
        prefix, base, exec_prefix, site, version = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise SetupError(f"--python {python}: {plain(error, 200)}") from error
    return Interpreter(str(python.absolute()), tuple(dict.fromkeys((prefix, base, exec_prefix))), site, version)


def plan(root: Path, python: Interpreter, wheels: Path | None, install: bool) -> EnvironmentPlan:
    """Read the submission's requirements, without installing anything."""
    torch = version_of("torch", python.site)
    path = root / REQUIREMENTS
    if not install or path.is_symlink() or not path.is_file():
        why = f"{REQUIREMENTS} is not installed: --no-install" if not install else f"there is no {REQUIREMENTS}"
        return EnvironmentPlan(python.program, python.version, notes=(why,), torch=torch)
    lines: list[str] = []
    notes: list[str] = []
    problem = ""
    for number, raw in enumerate(_read(path), 1):
        line = re.sub(r"(?:^|\s)#.*$", "", raw).strip()
        if not line:
            continue
        if _INDEX.match(line):
            if wheels is None:
                lines.append(line)
            else:
                notes.append(f"{REQUIREMENTS}:{number}: {plain(line, 120)} is left out: --wheels asks no index")
        elif _NAMED.match(line) or (_WHEEL.match(line) and wheels is None):
            lines.append(line)
        else:
            problem = problem or f"{REQUIREMENTS}:{number}: {plain(line, 120)!r} is no plain package: " + (
                "install it yourself and come back with --no-install")
    if wheels is not None and not wheels.is_dir():
        problem = f"--wheels {wheels} is no folder"
    return EnvironmentPlan(python.program, python.version, REQUIREMENTS, tuple(lines), str(wheels or ""),
                           tuple(notes), problem, torch)  # fmt: skip


def _read(path: Path) -> list[str]:
    with open(path, "rb") as file:
        data = file.read(1 << 20)
    return data.decode("utf-8-sig", "replace").splitlines()[:MOST_LINES]


def version_of(package: str, site: str) -> str:
    """Version of an installed package, read from its metadata; empty when it is not there."""
    found = importlib.metadata.distributions(name=package, path=[site])
    return next((d.version for d in found), "")


def build(planned: EnvironmentPlan, python: Interpreter, folder: Path, log: Path) -> Interpreter:
    """Make the environment in ``folder``; what pip says goes to ``log``. Raises `SetupError`.

    The environment stands on the packages that ``python`` has, so that only what is missing is fetched.
    """
    if planned.problem:
        raise SetupError(planned.problem)
    if not planned.requirements or not any(not line.startswith("-") for line in planned.lines):
        return python
    program = folder / "bin" / "python"
    wanted = folder.parent / "requirements-checked.txt"
    wanted.write_text("\n".join(planned.lines) + "\n", encoding="utf-8")
    offline = ["--no-index", "--find-links", planned.wheels] if planned.wheels else []
    pip = [python.program, "-m", "pip", "--python", str(program), "install", "--only-binary", ":all:",
           "--no-input", "--disable-pip-version-check", "--no-color", *offline, "-r", str(wanted)]  # fmt: skip
    with open(log, "ab") as said:
        _do([python.program, "-I", "-m", "venv", "--without-pip", str(folder)], said, "the virtual environment", log)
        site = next(folder.glob("lib/python*/site-packages"))
        (site / "golf-audit-base.pth").write_text(python.site + "\n", encoding="utf-8")
        _do(pip, said, f"installing {planned.requirements}", log)
    return Interpreter(str(program), (*python.prefixes, str(folder)), str(site), python.version)


def _do(command: list[str], said: object, what: str, log: Path) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,  # type: ignore[call-overload]
            timeout=INSTALL_SECONDS, check=False, start_new_session=False, cwd="/",
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{what} took more than {INSTALL_SECONDS:.0f} s") from error
    except OSError as error:
        raise SetupError(f"{what}: {error.strerror or error}") from error
    if done.returncode != 0:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["it said nothing"]
        raise SetupError(f"{what} failed: {plain(errors[-1], 300)}")
