"""The counting behind a rule's precision and recall."""

from __future__ import annotations

from tests.benchmarks.measure_rules import measure


def test_precision_counts_both_lists_and_recall_the_ruling_only() -> None:
    labels = [
        {"pr": 1, "ruling": "illegal", "rules": ["a"], "also": ["b"]},
        {"pr": 2, "ruling": "illegal", "rules": ["a"]},
        {"pr": 3, "ruling": "legal", "rules": ["a"], "also": ["d"]},
    ]
    results = [
        {"pr": 1, "found": ["a", "b"]},
        {"pr": 2, "found": ["b"]},
        {"pr": 3, "found": ["a", "c", "d"]},
    ]
    measured = measure(labels, results)
    assert (measured["a"]["precision"], measured["a"]["recall"]) == (0.5, 0.5)
    assert (measured["b"]["precision"], measured["b"]["recall"]) == (1.0, None)
    assert measured["d"]["precision"] == 1.0 and "c" not in measured
