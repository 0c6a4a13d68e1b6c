"""The rules as text: the list, and one rule explained from its own file."""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Mapping
from importlib import resources
from typing import Any

from auditor.core.rule import Example, Rule, sections
from auditor.core.types import Witness

MEASURED = "measured.json"
"""Data file of the package ``rules``, when there is one: rule id to precision, recall and the number of labels."""

SHOWN = 3
"""Examples of each sort that are printed; the others are named."""
WIDE = 140
"""Characters of one line of an example."""
WHOLE, AROUND = 24, 8
"""Lines of a short example, and lines around a mark in a long one."""

MARKS = (
    "[M] a maintainer's own words; [M*] the same, as a participant's site collected them; [M-git] a maintainer's act "
    "in the repository's history; [M-q] a maintainer quoted by a participant; [P] what participants say; [C] read in "
    "code or logs."
)


def listing(rules: Mapping[str, Rule]) -> str:
    """Two lines per rule: id, ruling, kind, witnesses, measured precision and recall; below them the title."""
    width = max((len(rule_id) for rule_id in rules), default=0)
    figures = _all_measured()
    lines = [f"{'rule':<{width}}  {'ruling':<8}  {'kind':<9}  {'witnesses':<13}  precision  recall"]
    for rule_id, rule in rules.items():
        own = figures.get(rule_id, {})
        precision, recall = (_share(own.get(name)) for name in ("precision", "recall"))
        lines.append(
            f"{rule_id:<{width}}  {rule.ruling.value:<8}  {rule.kind.value:<9}  {_witnesses(rule):<13}"
            f"  {precision:>9}  {recall:>6}"
        )
        lines.append(f"    {rule.title}")
    return "\n".join([*lines, "", f"{len(rules)} rules; golf-audit explain RULE says more of one."]) + "\n"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def explanation(rule: Rule) -> str:
    """Everything that the rule's file says: metadata, headed sections, measurements and examples."""
    meta = rule.meta()
    lines = [f"{meta.id}: {meta.title}", ""]
    lines += [f"Ruling:     {meta.ruling.value}, since {meta.since}", f"Kind:       {meta.kind.value}"]
    lines += [f"Authority:  {meta.authority}", f"Witnesses:  {_witnesses(rule) or 'none yet'}", _measured(meta.id), ""]
    for heading, text in sections(inspect.getdoc(type(rule)) or "").items():
        lines += [f"{heading}:", *_wrapped(text), ""]
    for title, examples in (_example_titles(rule), ("Not reported", rule.VALID)):
        for example in examples[:SHOWN]:
            lines += _example(title, example, meta.id)
        if len(examples) > SHOWN:
            others = (f"{e.name} (missed: {e.misses})" if e.misses else e.name for e in examples[SHOWN:])
            lines += [f"{title}, too:", *_wrapped("; ".join(others)), ""]
    lines += ["Marks:", *_wrapped(MARKS)]
    return "\n".join(lines).rstrip() + "\n"


def _example_titles(rule: Rule) -> tuple[str, list[Example]]:
    return ("Recognised" if rule.ruling.value == "legal" else "Reported"), rule.INVALID


def _example(title: str, example: Example, rule_id: str) -> list[str]:
    verdict = f"Missed, knowingly ({example.misses})" if example.misses else title
    if example.outcome is not None:
        verdict = f"Answered {example.outcome.value}"
    lines = [f"{verdict}: {example.name}"]
    for path, text in example.files.items():
        lines += [f"    --- {path}", *_excerpt(text.splitlines(), f"[{rule_id}]")]
    if example.expect:
        lines.append(f"    reported at: {', '.join(example.expect)}")
    return [*lines, ""]


def _excerpt(lines: list[str], mark: str) -> list[str]:
    """A short text whole; of a long one the surroundings of the marked lines, or its end when none is marked."""
    marked = [n for n, line in enumerate(lines) if mark in line]
    if len(lines) <= WHOLE:
        shown = list(range(len(lines)))
    elif marked:
        shown = sorted({n for m in marked for n in range(max(0, m - AROUND), min(len(lines), m + AROUND + 1))})
    else:
        shown = list(range(len(lines) - WHOLE, len(lines)))
    out: list[str] = []
    before = -1
    for n in shown:
        if n != before + 1:
            out.append("          ...")
        out.append(f"    {n + 1:4}  {_shortened(lines[n])}")
        before = n
    return out if before == len(lines) - 1 else [*out, "          ..."]


def _shortened(line: str) -> str:
    return line if len(line) <= WIDE else f"{line[:WIDE]} ...({len(line) - WIDE:,} characters left out)"


def _witnesses(rule: Rule) -> str:
    return "+".join(w.value for w in Witness if rule.covers(w))


def _all_measured() -> dict[str, dict[str, Any]]:
    try:
        text = resources.files("rules").joinpath(MEASURED).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    figures: dict[str, dict[str, Any]] = json.loads(text)
    return figures


def _measured(rule_id: str) -> str:
    """Precision and recall on the labelled submissions, when they were measured."""
    figures = _all_measured().get(rule_id)
    if not figures:
        return "Measured:   no labelled submission tells of this rule yet"
    shares = f"precision {_share(figures['precision'])}, recall {_share(figures['recall'])}"
    return f"Measured:   {shares} ({figures['labels']})"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 96, initial_indent="  ", subsequent_indent="  ")
