"""The rules as text: the list, and one rule explained from its own file."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from importlib import resources

from auditor.core.rule import Example, Rule, sections
from auditor.core.types import Witness

MEASURED = "measured.json"
"""Data file of the package ``rules``, when there is one: rule id to precision, recall and the number of labels."""


def listing(rules: Mapping[str, Rule]) -> str:
    """One line per rule: id, ruling, kind, witnesses, title."""
    width = max((len(rule_id) for rule_id in rules), default=0)
    lines = [
        f"{rule_id:<{width}}  {rule.ruling.value:<8}  {rule.kind.value:<9}  {_witnesses(rule):<13}  {rule.title}"
        for rule_id, rule in rules.items()
    ]
    head = f"{'rule':<{width}}  {'ruling':<8}  {'kind':<9}  {'witnesses':<13}  title"
    return "\n".join([head, *lines, "", f"{len(rules)} rules; golf-audit explain RULE says more of one."]) + "\n"


def explanation(rule: Rule) -> str:
    """Everything that the rule's file says: metadata, headed sections, measurements and examples."""
    meta = rule.meta()
    lines = [f"{meta.id}: {meta.title}", ""]
    lines += [f"Ruling:     {meta.ruling.value}, since {meta.since}", f"Kind:       {meta.kind.value}"]
    lines += [f"Authority:  {meta.authority}", f"Witnesses:  {_witnesses(rule) or 'none yet'}", _measured(meta.id), ""]
    for heading, text in sections(inspect.getdoc(type(rule)) or "").items():
        lines += [f"{heading}:", *_wrapped(text), ""]
    for title, examples in (_example_titles(rule), ("Not reported", rule.VALID)):
        for example in examples:
            lines += _example(title, example)
    return "\n".join(lines).rstrip() + "\n"


def _example_titles(rule: Rule) -> tuple[str, list[Example]]:
    return ("Recognised" if rule.ruling.value == "legal" else "Reported"), rule.INVALID


def _example(title: str, example: Example) -> list[str]:
    verdict = f"Missed, knowingly ({example.misses})" if example.misses else title
    if example.outcome is not None:
        verdict = f"Answered {example.outcome.value}"
    lines = [f"{verdict}: {example.name}"]
    for path, text in example.files.items():
        lines += [f"    --- {path}", *(f"    {line}" for line in text.strip("\n").splitlines()[:40])]
    return [*lines, ""]


def _witnesses(rule: Rule) -> str:
    return "+".join(w.value for w in (Witness.SOURCE, Witness.RECORD, Witness.BEHAVIOUR) if rule.covers(w))


def _measured(rule_id: str) -> str:
    """Precision and recall on the labelled submissions, when they were measured."""
    try:
        text = resources.files("rules").joinpath(MEASURED).read_text(encoding="utf-8")
    except FileNotFoundError:
        return "Measured:   precision and recall not measured yet"
    figures = json.loads(text).get(rule_id)
    if not figures:
        return "Measured:   precision and recall not measured for this rule"
    on = f"on {figures['labels']} labelled submissions"
    return f"Measured:   precision {figures['precision']}, recall {figures['recall']} {on}"


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 96, initial_indent="  ", subsequent_indent="  ")
