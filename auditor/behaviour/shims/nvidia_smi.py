"""Commands that scripts run to describe the machine: canned text, the same in every run; every spawn is noted."""

from __future__ import annotations

import functools
import io
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import PurePosixPath
from typing import Any

from auditor.behaviour.shims.context import ShimContext
from auditor.behaviour.shims.tools import TOOLS, tool

_SMI = """Wed Feb 25 06:13:20 2026
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 570.86.10              Driver Version: 570.86.10      CUDA Version: 12.8     |
|-----------------------------------------+------------------------+----------------------+
|   0  NVIDIA H100 80GB HBM3          On  |   00000000:00:00.0 Off |                    0 |
+-----------------------------------------------------------------------------------------+
"""
CANNED = {
    "nvidia-smi": _SMI, "nvcc": "Cuda compilation tools, release 12.8, V12.8.93\n", "hostname": "golf\n",
    "lscpu": "Architecture: x86_64\nCPU(s): 8\n", "free": "Mem: 2063597568\n", "uname": "Linux golf 6.8.0 x86_64\n",
    "df": "Filesystem 1K-blocks Used Available Use% Mounted on\noverlay 1000000 1 999999 1% /\n",
    "date": "Wed Feb 25 06:13:20 UTC 2026\n", "whoami": "golf\n", "nproc": "8\n", "pip": "", "pip3": "", "uv": "",
    "apt-get": "", "apt": "", "conda": "", "ldconfig": "",
}  # fmt: skip
OFFLINE = frozenset({"curl", "wget", "huggingface-cli", "hf", "aria2c", "gsutil", "aws", "rclone"})
COMMIT = "0" * 40


def answer(argv: list[str]) -> tuple[int, str] | None:
    """(exit status, standard output) of a command with a canned answer; None for one that is really run."""
    name = PurePosixPath(argv[0]).name if argv else ""
    if name == "nvidia-smi" and any(word.startswith("--query") for word in argv):
        return 0, _query(argv)
    if name.startswith("python") and argv[1:3] == ["-m", "pip"]:
        return 0, ""
    if name == "git":
        return _git(argv)
    if name in OFFLINE:
        return 6, ""
    return (0, CANNED[name]) if name in CANNED else None


def _query(argv: list[str]) -> str:
    fields = next(word.partition("=")[2] for word in argv if word.startswith("--query")).split(",")
    known = {"name": "NVIDIA H100 80GB HBM3", "memory.total": "81559 MiB", "memory.used": "1024 MiB", "index": "0",
             "count": "1", "driver_version": "570.86.10", "memory.free": "80535 MiB",
             "gpu_name": "NVIDIA H100 80GB HBM3"}  # fmt: skip
    return ", ".join(known.get(field.strip(), "[N/A]") for field in fields) + "\n"


def _git(argv: list[str]) -> tuple[int, str]:
    if "rev-parse" in argv:
        texts = {"--short": COMMIT[:7], "--abbrev-ref": "main", "--show-toplevel": os.getcwd()}
        return 0, next((text for flag, text in texts.items() if flag in argv), COMMIT) + "\n"
    return (128, "") if {"clone", "fetch", "pull", "push"} & set(argv) else (0, "")


def _argv(args: Any, shell: bool) -> list[str]:
    if isinstance(args, str | bytes | os.PathLike):
        text = os.fsdecode(args)
        if not shell:
            return [text]
        try:
            return shlex.split(text)
        except ValueError:
            return [text]
    return [os.fsdecode(word) for word in args]


class CannedProcess:
    """What `install` puts in place of ``Popen`` for a canned command: it has ended before it began."""

    pid = 4300

    def __init__(self, args: Any, status: int, output: str, given: dict[str, Any], work: Any = None) -> None:
        self.args, self.returncode, self._work, self._given = args, status, work, given
        self._text = any(given.get(key) for key in ("text", "universal_newlines", "encoding", "errors"))
        self.stdin: Any = self._buffer("") if given.get("stdin") == subprocess.PIPE else None
        self.stdout: Any = self._buffer(output) if given.get("stdout") == subprocess.PIPE else None
        self.stderr: Any = self._buffer("") if given.get("stderr") == subprocess.PIPE else None
        if self.stdout is None and work is None:
            self._deliver(output, given.get("stdout"))

    def _buffer(self, text: str) -> Any:
        return io.StringIO(text) if self._text else io.BytesIO(text.encode())

    @staticmethod
    def _deliver(output: str, target: Any) -> None:
        if target is None:
            sys.stdout.write(output)
        elif isinstance(target, int) and target >= 0:
            os.write(target, output.encode())
        elif hasattr(target, "fileno"):
            os.write(target.fileno(), output.encode())

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """(standard output, standard error); None for what was not piped."""
        if self._work is not None:
            self._run_tool(input)
        return tuple(None if pipe is None else pipe.read() for pipe in (self.stdout, self.stderr))  # type: ignore[return-value]

    def _run_tool(self, input: Any) -> None:
        """Let the tool read what was sent to it, once."""
        sent = input if input is not None else self.stdin.getvalue() if self.stdin is not None else b""
        self.returncode, output = self._work(sent.encode() if isinstance(sent, str) else bytes(sent))
        self._work = None
        if self.stdout is not None:
            self.stdout = io.StringIO(output.decode()) if self._text else io.BytesIO(output)
        else:
            self._deliver(output.decode(errors="replace"), self._given.get("stdout"))

    def wait(self, timeout: float | None = None) -> int:
        """The exit status."""
        if self._work is not None:
            self._run_tool(None)
        return self.returncode

    def poll(self) -> int:
        """The exit status."""
        return self.returncode

    def kill(self) -> None:
        """It has ended."""

    terminate = kill

    def send_signal(self, number: int) -> None:
        """It has ended."""

    def __enter__(self) -> CannedProcess:
        return self

    def __exit__(self, *error: Any) -> None:
        return None


def _which(real: Any, cmd: Any, *args: Any, **kwargs: Any) -> Any:
    """Where a program is: those answered here are said to be in /usr/bin."""
    return f"/usr/bin/{cmd}" if cmd in TOOLS or cmd in CANNED else real(cmd, *args, **kwargs)


def install(ctx: ShimContext) -> None:
    """Patch ``subprocess.Popen`` (and so run, call and check_output), ``os.system`` and ``os.popen``."""
    real, system = subprocess.Popen, os.system

    class Popen(real):  # type: ignore[misc,valid-type]
        """The real one for commands without a canned answer."""

        def __new__(cls, args: Any, *rest: Any, **given: Any) -> Any:
            argv = _argv(args, bool(given.get("shell")))
            note(argv)
            found = tool(argv)
            if found is not None:
                folder = os.fsdecode(given.get("cwd") or os.getcwd())
                return CannedProcess(args, 0, "", given, functools.partial(found, argv, folder))
            canned = answer(argv)
            return super().__new__(cls) if canned is None else CannedProcess(args, *canned, given)

    def note(argv: list[str]) -> None:
        ctx.emit("Spawned", {"argv": argv})
        if argv and PurePosixPath(argv[0]).name in OFFLINE:
            ctx.emit("Connected", {"host": next((word for word in argv if "://" in word), argv[0])})

    def run_shell(command: Any) -> int:
        argv = _argv(command, True)
        note(argv)
        canned = answer(argv)
        if canned is None:
            return system(command)
        CannedProcess._deliver(canned[1], None)
        return canned[0] << 8

    ctx.patch(subprocess, "Popen", Popen)
    ctx.patch(os, "system", run_shell)
    ctx.patch(shutil, "which", functools.partial(_which, shutil.which))
