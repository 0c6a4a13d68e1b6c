"""The counting behind a rule's precision and recall."""

from __future__ import annotations

from tests.benchmarks.measure_rules import measure


def test_precision_counts_both_lists_and_recall_the_ruling_only() -> None:
    labels = [
        {"pr": 1, "ruling": "illegal", "rules": ["a"], "also": ["b"]},
        {"pr": 2, "ruling": "illegal", "rules": ["a"]},
        {"pr": 3, "ruling": "legal", "rules": ["a"]},
    ]
    results = [{"pr": 1, "found": ["a", "b"]}, {"pr": 2, "found": ["b"]}, {"pr": 3, "found": ["c"]}]
    measured = measure(labels, results)
    assert measured["a"]["precision"] == 1.0 and measured["a"]["recall"] == 0.5
    assert measured["b"]["precision"] == 0.5 and measured["b"]["recall"] is None
    assert "c" not in measured
