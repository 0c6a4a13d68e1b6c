"""Precision and recall of each rule on labelled submissions: what ``golf-audit explain`` prints.

    python -m tests.benchmarks.measure_rules LABELS.jsonl RESULTS.jsonl > rules/measured.json

LABELS holds one object a line with ``pr``, ``ruling``, ``rules`` and optionally ``also`` (further classes seen);
RESULTS one with ``pr`` and ``found``, as a scoring run writes it. A rule's finding is right when the label of
a submission that was not accepted names it in either list, wrong on an accepted submission (unless seen there, too),
and open otherwise: a label need not list everything. Recall counts only the submissions whose ruling names the rule.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
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
    right, wrong, open_, due, met = (Counter[str]() for _ in range(5))
    for result in results:
        label = known[result["pr"]]
        legal = label["ruling"] == "legal"
        named = set(label.get("rules", ()))
        either = set(label.get("also", ())) | (set() if legal else named)
        for rule in result["found"]:
            (right if rule in either else wrong if legal else open_)[rule] += 1
        for rule in named if label["ruling"] == "illegal" else ():
            due[rule] += 1
            met[rule] += rule in result["found"]
    return {
        rule: {
            "precision": round(right[rule] / (right[rule] + wrong[rule]), 3) if right[rule] + wrong[rule] else None,
            "recall": round(met[rule] / due[rule], 3) if due[rule] else None,
            "labels": f"found {right[rule]} times where a label names it, {wrong[rule]} times where the ruling is "
            f"legal, {open_[rule]} times where the labels do not say; {met[rule]} of {due[rule]} rulings found",
        }
        for rule in sorted({*right, *due})
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
