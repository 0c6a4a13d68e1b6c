"""The settings of the claimed run: from run scripts, README commands, submission.json, wrappers and logs.

In 27 rulings the pattern is off by the script's defaults and was turned on by one of these, so that this decides.
Order of authority: what a wrapper forces, what the logs dump, the chosen launch command, submission.json, tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from auditor.core.submission import JsonDoc, Launch, LogFile, Setting
from auditor.core.types import Place
from auditor.intake.implied import SOME, implied_settings
from auditor.intake.knobs import Knobs, to_env
from auditor.intake.logged import environment_lines, logged_settings, main_logs, world_size
from auditor.intake.readme import blocks, settings_in_tables
from auditor.intake.shell import Command, commands

_FINAL = re.compile(
    r"(?i)reproduc|record|submission|final|full|official|train|launch|how to run|command|8x|leaderboard|usage|run\b"
)
_OTHER = re.compile(
    r"(?i)ablat|smoke|debug|sanity|local|single|1x|1 ?gpu|baseline|alternativ|diagnos|without|disabl|control|sweep|"
    r"quick|profil|mac\b|mlx|cpu|test|eval[- _]only|optional|prepar|download|token"
)
_JSON_KEYS = re.compile(
    r"(?i)^(env|env_vars|env_overrides|environment|environment_variables|config|configuration|hyper_?param\w*|hparams|"
    r"settings|run_config|training_config|train_config|launch_env|key_env\w*|overrides|flags|run_env|knobs)$"
)
_JSON_COMMANDS = re.compile(
    r"(?i)^(command|cmd|run_command|launch|launch_command|train_command|training_command|reproduc\w*|run)$"
)
_IGNORED = frozenset(
    {
        "PATH",
        "PYTHONPATH",
        "LD_LIBRARY_PATH",
        "HOME",
        "CUDA_VISIBLE_DEVICES",
        "PWD",
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "MASTER_ADDR",
        "MASTER_PORT",
        "OMP_NUM_THREADS",
        "RUN_ID",
        "SEED",
    }
)


@dataclass
class Sources:
    """Everything that launch settings are read from."""

    entry: str | None
    scripts: tuple[str, ...]
    """The entry and the shims in front of it."""
    python: frozenset[str]
    """All Python files of the folder."""
    shell: dict[str, str]
    readme: str | None
    readme_path: str | None
    metadata: JsonDoc | None
    logs: tuple[LogFile, ...]
    knobs: Knobs
    texts: tuple[str, ...] = ()
    """Decoded texts of the entry and its modules."""
    code: frozenset[str] = frozenset()
    """Their lines, stripped."""
    wrapper_env: list[tuple[str, str, int, bool, str]] = field(default_factory=list)
    """(name, value, line, only if unset, file) from wrappers and launchers in Python."""
    launchers: dict[str, list[tuple[str, str, int]]] = field(default_factory=dict)
    """Python files that only set the environment and start the entry: (name, value, line)."""


@dataclass
class Candidate:
    """A launch command with where it stands and how likely it is the one of the claimed run."""

    command: Command
    how: str
    place: str
    score: float


def read_launch(sources: Sources) -> Launch:
    """Put all sources together; alternatives and contradictions go to the notes."""
    logged, notes = logged_settings(sources.logs, sources.knobs.names, sources.code)
    for name, setting in implied_settings(sources.texts, main_logs(sources.logs), sources.knobs).items():
        logged.setdefault(name, setting)
    candidates = sorted(_candidates(sources, logged), key=lambda c: -c.score)
    best = candidates[0] if candidates and candidates[0].score > 0 else None
    env: dict[str, Setting] = {}
    _add(env, _tables(sources), replace=False)
    _add(env, _from_json(sources), replace=True)
    _add(env, [s for s in _wrapper(sources, forced=False)], replace=True)
    if best is not None:
        _add(env, _settings(best), replace=True)
        notes += _alternatives(best, candidates)
    notes += _of_other_runs(logged, best, sources.knobs)
    _add(env, _echoed(sources), replace=True)
    _add(env, _wrapper(sources, forced=True), replace=True)
    notes += _reconcile(env, logged, sources.knobs)
    size = world_size(sources.logs) or (best.command.nproc if best is not None else None)
    argv = best.command.argv if best is not None else ()
    return Launch(env, argv, logged, size, tuple(notes))


def _add(env: dict[str, Setting], settings: list[Setting], *, replace: bool) -> None:
    for setting in settings:
        if setting.name not in _IGNORED and "$" not in setting.value and (replace or setting.name not in env):
            env[setting.name] = setting


def _candidates(sources: Sources, logged: dict[str, Setting]) -> list[Candidate]:
    found: list[Candidate] = []
    for path, text in sources.shell.items():
        found += [
            Candidate(c, "run_script", path, _words_score(path, 8.0)) for c in commands(text)[0]
        ]
    if sources.readme is not None and sources.readme_path is not None:
        carried: dict[str, tuple[str, int]] = {}
        for block in blocks(sources.readme):
            launches, left = commands(block.text, block.line, loose=True)
            context = f"{block.heading} {block.context}"
            known = {name: value for name, value in left.items() if name in sources.knobs.env}
            if not launches and known:
                command = Command(sources.entry or "", (), known, block.line)
                found.append(Candidate(command, "readme", sources.readme_path, _words_score(context, -8.0)))
            for command in launches:
                command.env = {**carried, **command.env}
                found.append(Candidate(command, "readme", sources.readme_path, _words_score(context, 4.0)))
            carried = left if not launches and left and not _OTHER.search(context) else {}
    if sources.metadata is not None and sources.metadata.data is not None:
        for key, value in sources.metadata.data.items():
            if isinstance(value, str) and _JSON_COMMANDS.match(key):
                line = sources.metadata.lines.get(key, 1)
                found += [Candidate(c, "submission.json", key, 5.0) for c in commands(value, line)[0]]
    for path, settings in sources.launchers.items():
        values = {name: (value, line) for name, value, line in settings}
        command = Command(sources.entry or "", (), values, 1)
        found.append(Candidate(command, "run_script", path, _words_score(path, 2.0)))
    for candidate in found:
        candidate.score += _match_score(candidate.command, sources, logged)
    return found


def _words_score(words: str, base: float) -> float:
    """More for words of reproduction, less for words of experiments."""
    return base + (8.0 if _FINAL.search(words) else 0.0) - (14.0 if _OTHER.search(words) else 0.0)


def _match_score(command: Command, sources: Sources, logged: dict[str, Setting]) -> float:
    """How well a command fits the entry and what the logs say."""
    name = PurePosixPath(command.script).name
    own = {PurePosixPath(p).name for p in sources.scripts}
    score = 0.0
    if name in own:
        score += 12.0
    elif name in {PurePosixPath(p).name for p in sources.python} or not _TRAINS.search(command.script):
        return -100.0
    else:
        score += 6.0
    if command.nproc == 8:
        score += 5.0
    elif command.nproc == 1:
        score -= 3.0
    score += min(len(command.prefix or command.env), 20) * 0.4
    for variable, (value, _) in command.env.items():
        setting = logged.get(sources.knobs.env.get(variable) or variable.lower())
        if setting is not None and variable != "SEED":
            score += 2.0 if same(value, setting.value) else -3.0
    return score


_TRAINS = re.compile(r"(?i)train|gpt|run|main|submission")


def same(left: str, right: str) -> bool:
    """Whether two texts state the same value: numbers by value, flags by truth."""
    flags = {"true": "1", "false": "0", "on": "1", "off": "0", "yes": "1", "no": "0"}
    left, right = (flags.get(v.strip().lower(), v.strip()) for v in (left, right))
    try:
        return float(left) == float(right)
    except ValueError:
        return left == right


def _settings(candidate: Candidate) -> list[Setting]:
    made: list[Setting] = []
    for name, (value, line) in candidate.command.env.items():
        place = (
            Place(field=candidate.place)
            if candidate.how == "submission.json"
            else Place(file=candidate.place, line=line)
        )
        made.append(Setting(name, value, place, candidate.how))
    return made


def _alternatives(best: Candidate, candidates: list[Candidate]) -> list[str]:
    """Notes on the other launch commands that set something else."""
    notes = [f"settings taken from {best.place}:{best.command.line} ({best.how})"]
    chosen = {n: v for n, (v, _) in best.command.env.items()}
    for other in candidates[1:]:
        values = {n: v for n, (v, _) in other.command.env.items()}
        differing = [f"{n}={v}" for n, v in values.items() if chosen.get(n) != v and n != "SEED"]
        if differing and other.score > -50 and len(notes) < 12:
            more = " ..." if len(differing) > 8 else ""
            notes.append(f"not taken: {other.place}:{other.command.line} with {' '.join(differing[:8])}{more}")
    return notes


def _tables(sources: Sources) -> list[Setting]:
    """Settings stated in README tables or lists, of names that the script reads."""
    if sources.readme is None or sources.readme_path is None:
        return []
    known = sources.knobs.env
    return [
        Setting(name, value, Place(file=sources.readme_path, line=line), "readme")
        for name, (value, line) in settings_in_tables(sources.readme).items()
        if name in known
    ]


def _from_json(sources: Sources) -> list[Setting]:
    if sources.metadata is None or sources.metadata.data is None:
        return []
    made: list[Setting] = []
    for key, value in sources.metadata.data.items():
        if isinstance(value, dict) and _JSON_KEYS.match(key):
            made += _from_dict(value, key, sources.knobs)
        elif re.match(r"^[A-Z][A-Z0-9_]{2,}$", key) and isinstance(value, (str, int, float)):
            made += _from_dict({key: value}, "", sources.knobs)
    return made


def _from_dict(data: dict[str, Any], parent: str, knobs: Knobs) -> list[Setting]:
    made: list[Setting] = []
    for key, value in data.items():
        if isinstance(value, dict) and _JSON_KEYS.match(key):
            made += _from_dict(value, f"{parent}.{key}", knobs)
        if not isinstance(value, (str, int, float)):
            continue
        name = key if re.match(r"^[A-Z][A-Z0-9_]+$", key) else (knobs.env_of(key) or key.upper())
        text = str(int(value)) if isinstance(value, bool) else str(value)
        if (name in knobs.env or name == key) and len(text) <= 200 and "\n" not in text:
            field_name = f"{parent}.{key}" if parent else key
            made.append(Setting(name, text, Place(field=field_name), "submission.json"))
    return made


def _wrapper(sources: Sources, *, forced: bool) -> list[Setting]:
    return [
        Setting(name, value, Place(file=file, line=line), "preset")
        for name, value, line, only_if_unset, file in sources.wrapper_env
        if only_if_unset is not forced
    ]


def _of_other_runs(logged: dict[str, Setting], best: Candidate | None, knobs: Knobs) -> list[str]:
    """Take back flags that a few logs prove and that the launch command sets otherwise: those logs are other runs'."""
    notes: list[str] = []
    stated = best.command.env if best is not None else {}
    for variable, (value, line) in stated.items():
        name = knobs.env.get(variable) or variable.lower()
        setting = logged.get(name)
        if setting is not None and setting.how == SOME and not same(value, setting.value):
            del logged[name]
            notes.append(f"{variable}: {setting.origin} shows {setting.value}, most logs and line {line} do not")
    return notes


def _echoed(sources: Sources) -> list[Setting]:
    """Assignments that a run script echoed into every log that echoes any, with one value."""
    values: dict[str, set[str]] = {}
    first: dict[str, Setting] = {}
    for log in sources.logs:
        for name, (value, line) in environment_lines(log).items():
            values.setdefault(name, set()).add(value)
            first.setdefault(name, Setting(name, value, Place(log=log.path, line=line), "log"))
    return [s for n, s in first.items() if len(values[n]) == 1 and n in sources.knobs.env]


def _reconcile(env: dict[str, Setting], logged: dict[str, Setting], knobs: Knobs) -> list[str]:
    """Let the logs' values win in ``env`` too, for variables that feed one attribute; note what they overrule."""
    notes: list[str] = []
    for name, attribute in knobs.env.items():
        setting = logged.get(attribute) or logged.get(name.lower())
        if (
            setting is None
            or name in _IGNORED
            or (attribute and knobs.env_of(attribute) != name and attribute != name.lower())
        ):
            continue
        value = to_env(knobs.kinds.get(name, "str"), setting.value)
        if value is None:
            continue
        stated = env.get(name)
        if stated is not None and same(stated.value, setting.value):
            continue
        if stated is not None:
            notes.append(
                f"{name}: {stated.origin} says {stated.value}, {setting.origin} says {setting.value}; the log is taken"
            )
        env[name] = Setting(name, value, setting.origin, "log")
    return notes[:40]
