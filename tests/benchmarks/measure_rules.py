"""Precision and recall of each rule on labelled submissions: what ``golf-audit explain`` prints.

    python -m tests.benchmarks.measure_rules LABELS.jsonl RESULTS.jsonl > rules/measured.json

LABELS holds one object a line with ``pr``, ``ruling``, ``rules`` and optionally ``also`` (further classes seen);
RESULTS one with ``pr`` and ``found``, as a scoring run writes it. A rule's finding is right when the label names it
in either list. Recall counts only the submissions whose ruling names the rule.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file with one JSON object a line."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            yield json.loads(line)


def measure(labels: Iterable[dict[str, Any]], results: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rule id to precision, recall (None without a case) and the counts behind them."""
    known = {label["pr"]: label for label in labels}
    right: dict[str, int] = {}
    found: dict[str, int] = {}
    due: dict[str, int] = {}
    met: dict[str, int] = {}
    for result in results:
        label = known[result["pr"]]
        named = set(label.get("rules", ()))
        either = named | set(label.get("also", ()))
        for rule in result["found"]:
            found[rule] = found.get(rule, 0) + 1
            right[rule] = right.get(rule, 0) + (rule in either)
        for rule in named if label["ruling"] == "illegal" else ():
            due[rule] = due.get(rule, 0) + 1
            met[rule] = met.get(rule, 0) + (rule in result["found"])
    return {rule: _entry(right, found, met, due, rule) for rule in sorted({*due, *(r for r in right if right[r])})}


def _entry(
    right: dict[str, int], found: dict[str, int], met: dict[str, int], due: dict[str, int], rule: str
) -> dict[str, Any]:
    share = [
        round(counts.get(rule, 0) / whole[rule], 3) if whole.get(rule) else None
        for counts, whole in ((right, found), (met, due))
    ]
    return {
        "precision": share[0], "recall": share[1],
        "labels": f"{right.get(rule, 0)} of {found.get(rule, 0)} findings named by the labels, "
        f"{met.get(rule, 0)} of {due.get(rule, 0)} rulings found",
    }


def main() -> None:
    """Print the measured figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("results", type=Path)
    args = parser.parse_args()
    json.dump(measure(rows(args.labels), rows(args.results)), sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
