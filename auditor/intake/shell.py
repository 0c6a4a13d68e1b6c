"""Read command lines out of shell text (run scripts, README code blocks) without a shell.

Only what a reader would see is understood: assignments, ``export``, ``env``, line continuations, ``${X:-default}``,
``for X in``, and the launch of a Python script. Command substitutions stay as text.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import PurePosixPath

MAX_LINES = 20_000
MAX_COMMANDS = 300
MAX_NAMES = 2_000
_ASSIGN = re.compile(r"^([A-Za-z_]\w*)=(.*)$", re.S)
_VARIABLE = re.compile(r"\$\{(\w+)(?::?([-=+])([^{}]*))?\}|\$(\w+)")
_LAUNCHERS = {"python", "python3", "torchrun", "accelerate", "uv", "nohup", "time", "exec", "poetry", "pipenv", "sudo"}
_SKIP_WORDS = {
    "do",
    "then",
    "else",
    "{",
    "(",
    "&&",
    "||",
    "!",
    "time",
    "nohup",
    "exec",
    "sudo",
    "command",
    "if",
    "while",
}
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")


@dataclass
class Command:
    """One launch of a script: the environment in force, its arguments, where it stands."""

    script: str
    argv: tuple[str, ...]
    env: dict[str, tuple[str, int]]
    """Name to (value, line)."""
    line: int
    nproc: int | None = None
    prefix: frozenset[str] = field(default_factory=frozenset)
    """Names set on the command line itself, not by an earlier ``export``."""


def commands(
    text: str, first_line: int = 1, *, loose: bool = False
) -> tuple[list[Command], dict[str, tuple[str, int]]]:
    """All launches in ``text`` and the environment left at its end (exports without a launch).

    ``loose`` counts plain assignments as exported, as READMEs mean them.
    """
    env: dict[str, tuple[str, int]] = {}
    local: dict[str, str] = {}
    found: list[Command] = []
    for line, statement in _statements(text, first_line):
        words = _words(statement)
        command = _statement(words, line, env, local, loose)
        if command is not None:
            found.append(command)
        if len(found) >= MAX_COMMANDS or len(env) >= MAX_NAMES:
            break
    return found, env


def _statements(text: str, first_line: int) -> list[tuple[int, str]]:
    """Logical lines with the number of their first line; here-documents, comments and prompts removed."""
    result: list[tuple[int, str]] = []
    held, start, until = "", 0, ""
    for number, line in enumerate(text.split("\n")[:MAX_LINES], first_line):
        line = line.rstrip("\r")
        if until:
            until = "" if line.strip() == until else until
            continue
        stripped = re.sub(r"^\s*(?:[$>%]\s+|\S{0,40}[@:]\S{0,60}[$#]\s+)", "", line) if not held else line
        if not held and stripped.lstrip().startswith("#"):
            continue
        here = _HEREDOC.search(stripped)
        if here and "<<<" not in stripped:
            until = here.group(2)
        start = start if held else number
        if re.search(r"[\\^`]\s*$", stripped) and not stripped.rstrip().endswith("``"):
            held += re.sub(r"[\\^`]\s*$", " ", stripped)
            continue
        result.extend((start, part) for part in _split(held + stripped))
        held = ""
    if held:
        result.extend((start, part) for part in _split(held))
    return result


def _split(line: str) -> list[str]:
    """Parts of a logical line between ``;``, ``&&``, ``||``, ``|`` and ``&`` that stand outside quotes."""
    parts, current, quote, at = [], "", "", 0
    while at < len(line):
        char = line[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "#" and (not current or current[-1].isspace()):
            break
        elif (
            char in ";|"
            or line.startswith("&&", at)
            or (char == "&" and line[at - 1 : at] not in (">", "<") and line[at + 1 : at + 2] != ">")
        ):
            parts.append(current)
            current = ""
            at += 2 if line[at:at + 2] in ("&&", "||", ";;") else 1
            continue
        current += char
        at += 1
    return [part for part in (*parts, current) if part.strip()]


def _words(statement: str) -> list[str]:
    try:
        return shlex.split(statement, comments=False)
    except ValueError:
        return statement.replace("'", " ").replace('"', " ").split()


def _statement(
    words: list[str], line: int, env: dict[str, tuple[str, int]], local: dict[str, str], loose: bool
) -> Command | None:
    """Apply one statement to the environment; the launch it holds, if any."""
    while words and words[0] in _SKIP_WORDS:
        words = words[1:]
    if not words:
        return None
    if words[0] == "for" and len(words) > 3 and words[2] == "in":
        local[words[1]] = words[3]
        return None
    if words[0] in ("export", "set", "declare", "typeset", "readonly", "ENV", "setenv"):
        for word in words[1:]:
            match = _ASSIGN.match(word)
            if match:
                local[match.group(1)] = expand(match.group(2), local)
                env[match.group(1)] = (local[match.group(1)], line)
            elif word in local and words[0] == "export":
                env[word] = (local[word], line)
        return None
    own: dict[str, tuple[str, int]] = {}
    while words:
        match = _ASSIGN.match(words[0])
        if words[0] == "env":
            words = words[1:]
            while words and words[0].startswith("-"):
                words = words[2:] if words[0] in ("-u", "-C", "-S") else words[1:]
        elif match:
            own[match.group(1)] = (expand(match.group(2), {**local, **{k: v for k, (v, _) in own.items()}}), line)
            words = words[1:]
        else:
            break
    if not words:
        local.update({name: value for name, (value, _) in own.items()})
        env.update({n: v for n, v in own.items() if loose or n in env})
        return None
    return _launch([expand(word, local) for word in words], line, env, own)


def _launch(
    words: list[str], line: int, env: dict[str, tuple[str, int]], own: dict[str, tuple[str, int]]
) -> Command | None:
    """The launch of a ``.py`` file by python, torchrun or the like; None for any other command."""
    first = PurePosixPath(words[0]).name
    if first not in _LAUNCHERS and not re.match(r"python[\d.]*$", first):
        return None
    nproc: int | None = None
    inline: dict[str, tuple[str, int]] = {}
    for at, word in enumerate(words):
        match = re.match(r"--nproc[-_]per[-_]node(?:=(\d+))?$", word)
        if match:
            value = match.group(1) or (words[at + 1] if at + 1 < len(words) else "")
            nproc = int(value) if value.isdecimal() and len(value) < 10 else nproc
        assigned = _ASSIGN.match(word)
        if assigned:
            inline[assigned.group(1)] = (assigned.group(2), line)
        if word == "-m" and at + 1 < len(words) and not words[at + 1].startswith("torch.distributed"):
            module = words[at + 1].replace(".", "/") + ".py"
            return Command(
                module, tuple(words[at + 2 :]), {**env, **inline, **own}, line, nproc, frozenset((*own, *inline))
            )
        if word.endswith(".py") and not word.startswith("-"):
            argv = [w for w in words[at + 1:]]
            stop = next((i for i, w in enumerate(argv) if re.match(r"^\d?>|^<|^\(|^#", w)), len(argv))
            return Command(word, tuple(argv[:stop]), {**env, **inline, **own}, line, nproc, frozenset((*own, *inline)))
    return None


def expand(word: str, known: dict[str, str]) -> str:
    """``$X``, ``${X}``, ``${X:-default}`` by what is known; unknown ones without a default stay as they are."""

    def one(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(4)
        if name in known:
            return match.group(3) or "" if match.group(2) == "+" else known[name]
        if match.group(2) in ("-", "="):
            return str(match.group(3))
        return match.group()

    for _ in range(4):
        made = _VARIABLE.sub(one, word)
        if made == word or len(made) > 10_000:
            break
        word = made
    return word
