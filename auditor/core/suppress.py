"""Suppressions: recorded reasons that silence a finding. It stays listed and counted, but does not decide.

Two forms, both with a mandatory reason: an ``[[allow]]`` table of ``golf-audit.toml`` (in the submission folder, or
another file that the caller names), and a comment ``# golf-audit: allow RULE reason`` on the finding's line or on a
line of its own above it. A suppression without a reason has no effect and is reported as such.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from auditor.core.submission import Submission
from auditor.core.types import Finding, Outcome, Place, RuleResult, Suppression

CONFIG_NAME = "golf-audit.toml"
MAX_CONFIG = 1 << 16
"""Longest file of suppressions, in bytes."""

_COMMENT = re.compile(r"#\s*golf-audit:\s*allow\b[ \t]*([A-Za-z0-9_-]*)[ \t]*([^\n]*)")


class ConfigError(ValueError):
    """A ``golf-audit.toml`` that cannot be read; the message names the file and the reason."""


class Unreadable(OSError):
    """The file of suppressions that a caller named cannot be read; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Allow:
    """One suppression: which rule, why, where it is recorded, and which places it covers (all when empty)."""

    rule: str
    reason: str
    recorded_at: Place
    file: str | None = None
    lines: frozenset[int] = frozenset()

    def covers(self, finding: Finding) -> bool:
        """Whether ``finding`` stands in this suppression's file and on one of its lines."""
        place = finding.at
        name = place.file or place.log or (place.field and "submission.json")
        if self.file is not None and self.file != name:
            return False
        return not self.lines or place.line in self.lines


def read_config(text: str, path: str) -> tuple[list[Allow], list[str]]:
    """Read ``[[allow]]`` tables; returns the suppressions and a note for each that has no effect.

    Raises `ConfigError` when the text is no TOML or an entry has the wrong shape.
    """
    try:
        entries = tomllib.loads(text).get("allow", [])
    except RecursionError as error:
        raise ConfigError(f"{path} nests too deeply to be read") from error
    except ValueError as error:  # no TOML, or a number of thousands of digits
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise ConfigError(f"{path}: 'allow' must be an array of tables, written [[allow]]")
    allows: list[Allow] = []
    notes: list[str] = []
    for number, entry in enumerate(entries, 1):
        rule, reason = entry.get("rule"), entry.get("reason")
        file, line = entry.get("file"), entry.get("line")
        if not isinstance(rule, str) or not rule:
            raise ConfigError(f"{path}: entry {number} of 'allow' names no rule")
        if not isinstance(file, str | None) or not isinstance(line, int | None) or isinstance(line, bool):
            raise ConfigError(f"{path}: entry {number} of 'allow': file must be a string and line a number")
        if not isinstance(reason, str) or not reason.strip():
            notes.append(f"{path}: the suppression of {rule} gives no reason and has no effect.")
            continue
        allows.append(
            Allow(
                rule, " ".join(reason.split()), Place(file=path),
                str(PurePosixPath(file)) if file else None, frozenset() if line is None else frozenset({line}),
            )
        )  # fmt: skip
    return allows, notes


def read_comments(texts: Mapping[str, str]) -> tuple[list[Allow], list[str]]:
    """Read the comments of all source texts (path to text); returns suppressions and notes as `read_config` does."""
    allows: list[Allow] = []
    notes: list[str] = []
    for path, text in texts.items():
        if "golf-audit:" not in text:
            continue
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            match = _COMMENT.search(line)
            if match is None:
                continue
            rule, reason = match.group(1), " ".join(match.group(2).split())
            if not rule or not reason:
                notes.append(
                    f"{path}:{number}: the suppression of {rule or 'no rule'} gives no reason and has no effect."
                )
                continue
            covered = {number} if line[: match.start()].strip() else _next_code_line(lines, number)
            allows.append(Allow(rule, reason, Place(file=path, line=number), path, frozenset(covered)))
    return allows, notes


def _next_code_line(lines: list[str], number: int) -> set[int]:
    """The line that a comment of its own speaks of: the next one that is no comment."""
    following = number + 1
    while following <= len(lines) and lines[following - 1].lstrip().startswith("#"):
        following += 1
    return {following}


def apply(results: Iterable[RuleResult], allows: Iterable[Allow]) -> tuple[list[RuleResult], list[Allow]]:
    """Split every ``found`` result into what stands and what is suppressed; also return the unused suppressions."""
    by_rule: dict[str, list[Allow]] = {}
    for allow in allows:
        by_rule.setdefault(allow.rule, []).append(allow)
    used: set[int] = set()
    out: list[RuleResult] = []
    for result in results:
        rule_allows = by_rule.get(result.rule)
        if result.outcome is not Outcome.FOUND or not rule_allows:
            out.append(result)
            continue
        out.extend(_split(result, rule_allows, used))
    unused = [allow for group in by_rule.values() for allow in group if id(allow) not in used]
    return out, unused


def _split(result: RuleResult, allows: list[Allow], used: set[int]) -> Iterable[RuleResult]:
    standing: list[Finding] = []
    silenced: dict[int, tuple[Allow, list[Finding]]] = {}
    for finding in result.findings:
        allow = next((a for a in allows if a.covers(finding)), None)
        if allow is None:
            standing.append(finding)
        else:
            used.add(id(allow))
            silenced.setdefault(id(allow), (allow, []))[1].append(finding)
    if standing or not silenced:
        yield replace(result, findings=tuple(standing))
    for allow, findings in silenced.values():
        mark = Suppression(result.rule, allow.reason, allow.recorded_at)
        yield replace(result, findings=tuple(findings), suppressed=mark)


def gather(submission: Submission, named: Path | None) -> tuple[list[Allow], list[str]]:
    """Suppressions of the sources' comments and of the configuration, and notes on what has no effect.

    ``named`` is a configuration that the caller chose; without, the submission's own `CONFIG_NAME` counts, if it is
    one of its files and no link. Raises `Unreadable` and `ConfigError` for a named one only.
    """
    entry = (submission.entry,) if submission.entry else ()
    allows, notes = read_comments({s.path: s.text for s in (*entry, *submission.modules)})
    config = named or submission.root / CONFIG_NAME
    name = CONFIG_NAME if named is None else str(named)
    inside = any(f.path == CONFIG_NAME for f in submission.files)
    if named is None and (not inside or config.is_symlink()):
        return allows, notes
    try:
        with config.open("rb") as stream:
            data = stream.read(MAX_CONFIG + 1)
        if len(data) > MAX_CONFIG:
            raise OSError(f"longer than {MAX_CONFIG:,} bytes")
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        if named is not None:
            raise Unreadable(f"{name} cannot be read: {error}") from error
        return allows, [*notes, f"{name} cannot be read and has no effect: {error}"]
    try:
        more, more_notes = read_config(text, name)
    except ConfigError as error:
        if named is not None:
            raise
        return allows, [*notes, f"{error}; it has no effect."]
    return allows + more, notes + more_notes
