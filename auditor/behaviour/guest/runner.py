"""One run of a script: environment, shims, recorder, the script itself, and how it ended."""

from __future__ import annotations

import builtins
import io
import os
import random
import sys
import traceback
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

from auditor.behaviour.guest import perturb
from auditor.behaviour.guest.branch import Brancher
from auditor.behaviour.guest.channel import Sender
from auditor.behaviour.guest.mode import GuestMode
from auditor.behaviour.guest.recorder import Recorder
from auditor.behaviour.shims import install_all
from auditor.behaviour.shims.context import ShimContext

FRAMES = 12


class Lines(io.TextIOBase):
    """Standard output or error, cut into lines, each an event ``Printed``."""

    def __init__(self, ctx: ShimContext, recorder: Recorder, stream: str) -> None:
        self._ctx, self._recorder, self._stream, self._rest = ctx, recorder, stream, ""

    def writable(self) -> bool:
        """Always."""
        return True

    def isatty(self) -> bool:
        """Never."""
        return False

    def write(self, text: str) -> int:
        """Take text; full lines are sent."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self.line(line)
        return len(text)

    def line(self, line: str) -> None:
        """Send one line."""
        if line.strip():
            fields = {"text": line[:2000], "stream": self._stream, "site": self._recorder.site()}
            self._ctx.emit("Printed", {**fields, "time": self._ctx.clock.now})

    def flush(self) -> None:
        """Nothing is held back but an unfinished line."""

    def close_line(self) -> None:
        """Send what stands without an end of line."""
        if self._rest:
            self.line(self._rest)
            self._rest = ""


def run(command: dict[str, Any], sender: Sender) -> int:
    """Run the script of ``command`` (see `auditor.behaviour.guest.server`); returns an exit status."""
    ctx = ShimContext(emit=sender.emit, run_dir=command["run_dir"], seed=command["seed"])
    ctx.real_bfloat16 = bool(command.get("real_bfloat16"))
    os.environ.clear()
    os.environ.update(command["env"])
    os.chdir(command["run_dir"])
    seed_all(command["seed"])
    recorder = Recorder(ctx)
    install_all(ctx)
    recorder.install()
    if how := command.get("perturb"):
        perturb.install(ctx, "objects" if how is True else str(how), recorder.site)
    if pipes := command.get("branch_pipes"):
        Brancher(ctx, sender, pipes, recorder.site)
    out, err = Lines(ctx, recorder, "out"), Lines(ctx, recorder, "err")
    sys.stdout, sys.stderr = out, err
    _hook_print(ctx, recorder)
    status, fields = 0, {"status": "ended", "error": "", "message": "", "frames": []}
    mode = GuestMode(ctx.handlers, recorder.observe)
    try:
        with mode:
            execute(command["script"], command["argv"], command["run_dir"])
    except SystemExit as stop:
        if stop.code not in (None, 0):
            status, fields = 1, failure(stop, command["run_dir"])
    except BaseException as error:
        status, fields = 1, failure(error, command["run_dir"])
    out.close_line()
    err.close_line()
    sender.emit("Finished", {**fields, "time": ctx.clock.now, "calls": mode.calls})
    sender.flush()
    return status


def seed_all(seed: int) -> None:
    """Seed every generator; one thread."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)


def _hook_print(ctx: ShimContext, recorder: Recorder) -> None:
    """`print(..., file=f)` into a log file is a printed line too."""
    original = builtins.print

    def printed(
        *values: Any, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
    ) -> None:
        if file is not None and file not in (sys.stdout, sys.stderr) and isinstance(file, io.TextIOBase):
            text = (" " if sep is None else sep).join(map(str, values))
            for line in text.splitlines():
                if line.strip():
                    fields = {"text": line[:2000], "stream": "file", "site": recorder.site()}
                    ctx.emit("Printed", {**fields, "time": ctx.clock.now})
        original(*values, sep=sep, end=end, file=file, flush=flush)

    builtins.print = printed


def execute(script: str, argv: list[str], run_dir: str) -> None:
    """Run the script as ``__main__``, in this process; whatever it raises comes out."""
    path = os.path.join(run_dir, script)
    sys.argv = [path, *argv]
    sys.path.insert(0, os.path.dirname(path))
    if run_dir not in sys.path:
        sys.path.insert(1, run_dir)
    module = types.ModuleType("__main__")
    module.__file__ = path
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    code = compile(Path(path).read_text(encoding="utf-8", errors="replace"), path, "exec", dont_inherit=True)
    exec(code, module.__dict__)


def failure(error: BaseException, run_dir: str) -> dict[str, Any]:
    """How a run failed, as fields of ``Finished``."""
    frames = [
        [f.filename, f.lineno or 0, f.name, (f.line or "")[:300]]
        for f in traceback.extract_tb(error.__traceback__)
        if not f.filename.endswith(("guest/runner.py", "guest/mode.py"))
    ][-FRAMES:]
    kind = type(error).__name__
    return {"status": "failed", "error": kind, "message": str(error)[:2000], "frames": frames}
