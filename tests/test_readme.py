"""The README is tested output: its console blocks show what the commands print (``UPDATE_README=1`` rewrites them)."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from auditor import cli, cli_output, cli_probe, engine
from auditor.behaviour.audit import why_not

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(
    r"```console\n\$ golf-audit (?P<arguments>[^\n|]*?)(?P<head> \| head -n (?P<lines>\d+))?\n.*?```", re.S
)


def is_probe(match: re.Match[str]) -> bool:
    """Whether the block shows a probe: it takes seconds, and needs torch and isolation."""
    return match["arguments"].startswith("probe")


def without_numbers(text: str) -> str:
    """``text`` without numbers and wrapping: seconds, memory and losses of a probe are those of one machine."""
    return re.sub(r"[-+]?\d[\d.,]*|\s+", " ", text)


def block(match: re.Match[str]) -> str:
    """The block with what its command prints when it is piped."""
    command = [sys.executable, "-m", "auditor.cli", *shlex.split(match["arguments"])]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    printed = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False).stdout
    lines = printed.splitlines()[: int(match["lines"]) if match["lines"] else None]
    return "\n".join([f"```console\n$ golf-audit {match['arguments']}{match['head'] or ''}", *lines, "```"])


def refreshed(text: str, *, probe: bool) -> str:
    """``text`` with fresh blocks of one sort; ``UPDATE_README=1`` writes it."""
    fresh = BLOCK.sub(lambda match: block(match) if is_probe(match) is probe else match.group(), text)
    if os.environ.get("UPDATE_README"):
        README.write_text(fresh, encoding="utf-8")
        return text
    return fresh


def test_console_blocks_show_what_is_printed() -> None:
    text = README.read_text(encoding="utf-8")
    assert BLOCK.search(text)
    assert text == refreshed(text, probe=False), "run UPDATE_README=1 python -m pytest tests/test_readme.py"


@pytest.mark.slow
def test_the_probe_s_block_shows_what_is_printed() -> None:
    if why_not(False):
        pytest.skip(why_not(False))
    text = README.read_text(encoding="utf-8")
    assert any(is_probe(match) for match in BLOCK.finditer(text))
    fresh = refreshed(text, probe=True)
    hint = "run UPDATE_README=1 python -m pytest -m slow tests/test_readme.py"
    assert without_numbers(text) == without_numbers(fresh), hint


def test_every_option_and_exit_code_is_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    used = set(re.findall(r'"(--[a-z-]+)"', (ROOT / "auditor/cli.py").read_text()))
    used |= {"--witness", "--as-of", "--fail-on", "--base", "--submission", "--config", "--show-source"}
    used |= {"--replay", "--seconds", "--no-timeline"}
    assert not {option for option in used - {"--help", "--version", "--no-probe"} if option not in text}
    codes = {str(code) for code in (*cli.EXIT.values(), cli.USAGE, cli.FAILED, cli.INTERRUPTED)}
    assert codes == set(re.findall(r"^\| (\d+) \|", text, re.M))
    own = {line.split("|")[1].strip() for line in text.splitlines() if re.match(r"\| \d+ \|.*\|.*\|$", line)}
    assert {str(code) for code in (*cli.EXIT.values(), cli_probe.REPRODUCED, cli_probe.NOT_REPRODUCED)} <= own
    for name in (*cli.LATER_COMMANDS, *cli_output.FORMATS):
        assert f"`{name}`" in text, name
    assert all(f"*{witness.value}*" in text for witness in engine.BUILT)


def test_its_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z-]+)", README.read_text(encoding="utf-8"))) <= targets


def test_no_page_names_a_machine() -> None:
    for path in (README, ROOT / "CHANGELOG.md", ROOT / "Makefile", ROOT / ".ci/run"):
        assert not re.search(r"/(work|tmp|root|home)/", path.read_text(encoding="utf-8")), path
