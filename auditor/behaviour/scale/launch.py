"""The environment of the toy run: the launch settings, made safe, and what the script requires besides."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping

from auditor.behaviour.scale.evaluate import convert
from auditor.behaviour.scale.model import RUN
from auditor.behaviour.scale.sites import Site
from auditor.core.submission import Submission

_ONE_PROCESS = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": "29500", "NODE_RANK": "0", "GROUP_RANK": "0"}  # fmt: skip
_NEVER = frozenset({"PATH", "HOME", "PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONHASHSEED", "OMP_NUM_THREADS"})
"""Set by the sandbox alone."""
_REHEARSAL = re.compile(r"^(?:DRY_?RUN|(?:RUN_)?SMOKE(?:_TEST|_RUN)?)$")


def launch_env(
    submission: Submission, sites: Iterable[Site], dropped: Collection[str] = ()
) -> tuple[dict[str, str], list[str]]:
    """The launch's variables, and a note for each that was changed or dropped because the script could not read it.

    ``dropped``: variables that the script was seen to refuse.
    """
    kinds = {s.name: s.kind for s in sites if s.how == "env"}
    env: dict[str, str] = {}
    notes: list[str] = []
    for name, setting in submission.launch.env.items():
        value = setting.value
        if "\0" in value or name in _NEVER or not name.isidentifier():
            continue
        if name in dropped:
            notes.append(f"{name}={value} ({setting.origin}) was refused: the script's own default is taken")
            continue
        if _REHEARSAL.match(name) and value.strip().lower() not in ("", "0", "false"):
            notes.append(f"{name}={value} ({setting.origin}) is left out: a rehearsal scores no validation data")
            continue
        kind = kinds.get(name, "")
        if kind in ("int", "float") and convert(kind, value) is None:
            trimmed = value.strip(" ,;.'\"`")
            if convert(kind, trimmed) is None:
                notes.append(f"{name}={value} ({setting.origin}) is no {kind}: the script's own default is taken")
                continue
            value = trimmed
        env[name] = value
    return env, notes


def required_env(sites: Iterable[Site], env: Mapping[str, str], vocab: int) -> dict[str, str]:
    """Variables that must not vary between runs, and those that the script reads without a default."""
    made: dict[str, str] = {}
    for site in sites:
        if site.how != "env" or site.name in env:
            continue
        if site.name == "RUN_ID":
            made[site.name] = "golf"
        elif site.required and site.value is None:
            value = _ONE_PROCESS.get(site.name) or _required(site.words, vocab)
            if value is not None:
                made[site.name] = value
    return made


def _required(words: str, vocab: int) -> str | None:
    """A value for a variable without a default, from its name."""
    if "tokenizer" in words:
        return f"{RUN}/data/tokenizers/fineweb_{vocab}_bpe.model"
    if "data" in words and words.endswith(("path", "dir", "root", "folder")):
        return f"{RUN}/data/datasets/fineweb10B_sp{vocab}" if "path" in words else f"{RUN}/data"
    if words.endswith(("path", "dir", "folder", "root")):
        return posixpath.join(RUN, "logs")
    return None
