"""What leaves the script: printed numbers, written files, and calls to the outside."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from auditor.source.facts import Site
from auditor.source.flow.machine import Machine
from auditor.source.flow.values import HOLE, NOTHING, Val

_NETWORK = re.compile(
    r"^(urllib|requests|httpx|aiohttp|socket|http\.client|huggingface_hub|wandb|boto3|ftplib|paramiko)\b"
)
_PROCESS = re.compile(r"^(subprocess\.|os\.(system|popen|exec|spawn|fork)|pty\.|multiprocessing\.Process)")
_DYNAMIC = frozenset(
    {
        "builtins.exec",
        "builtins.eval",
        "builtins.__import__",
        "importlib.import_module",
        "runpy.run_path",
    }
)
_SNIFFING = re.compile(r"^(sys\.gettrace|inspect\.stack|platform\.|psutil\.|os\.getppid|socket\.gethostname)")


def report(m: Machine, node: ast.AST, args: list[Val]) -> None:
    """A number is printed or logged: remember the scores it is made of and the text around it."""
    labels: frozenset[int] = frozenset()
    for arg in args:
        labels = labels | m.deep(arg)
    if m.of_kind(labels, "nll"):
        text = " ".join(a.string or "" for a in args).replace("\x00", "{}")
        m.event("report", node, labels, variant=text[:200], text=text[:300], at=_origin(m, node, args))


def _origin(m: Machine, node: ast.AST, args: list[Val]) -> Site:
    """Where the printed text was made: up through the helpers that only pass it on."""
    site = m.site(node)
    for below, frame in zip(reversed(m.frames), reversed(m.frames[:-1]), strict=False):
        if frame.node is None or not any(v is a for v in below.env.values() for a in args):
            break
        site = m.site(frame.node, frame)
    return site


def external(m: Machine, node: ast.AST, name: str, args: Sequence[Val] = ()) -> None:
    """Network, subprocess, dynamic code, and questions about who is watching."""
    what = ""
    if _NETWORK.match(name):
        what = "network"
    elif _PROCESS.match(name):
        what = "subprocess"
    elif name in _DYNAMIC:
        what = "exec"
    elif _SNIFFING.match(name):
        what = "sniffing"
    if what:
        m.event("external", node, frozenset(), variant=name, call=name, external=what, program=_program(args))


def _program(args: Sequence[Val]) -> str:
    """The program that a call starts, without its folder; empty when it is not known."""
    first = args[0] if args else NOTHING
    parts = [obj.items[0] for obj in first.objs if obj.items and 0 in obj.items]
    head = parts[0] if parts else first
    if any(o.name == "sys.executable" for o in head.objs):
        return "python"
    words = (head.string or "").split()
    return words[0].rpartition("/")[2] if words and HOLE not in words[0] else ""
