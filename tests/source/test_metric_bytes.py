"""The toy walk of byte-table builders, and the flow from the table to the sum."""

from __future__ import annotations

import ast

import pytest

from auditor.source.metric.bytecount import analyse_bytes, analyse_fixed
from auditor.source.metric.bytefiles import byte_tables
from auditor.source.metric.codeindex import build_index

EVAL = """
def score(sp, n, x, y):
    base, lead, bound = luts(sp, n)
    width = base[y]
    width = width + (lead[y] & ~bound[x])
    return width.sum()
"""


def run(text: str):  # type: ignore[no-untyped-def]
    return analyse_bytes(build_index({"a.py": ast.parse(text)}))


@pytest.mark.parametrize(
    ("size", "spaced"),
    [
        ('len(p.replace("\\u2581", " ").encode())', 4),
        ('len(p.replace("\\u2581", "").encode())', 3),
        ('len(p.encode("utf-8"))', 6),
        ('len(p.lstrip("\\u2581").encode("utf-8")) + int(p.startswith("\\u2581"))', 4),
        ('sum(1 for _ in p.replace("\\u2581", "").encode())', None),
    ],
)
def test_the_toy_vocabulary_tells_what_a_builder_counts(size: str, spaced: int | None) -> None:
    text = f"""
def luts(sp, n):
    base, lead, bound = np.zeros(n), np.zeros(n), np.ones(n)
    for i in range(n):
        p = sp.id_to_piece(i)
        lead[i] = p.startswith("\\u2581")
        bound[i] = sp.is_control(i) or sp.is_unknown(i)
        base[i] = 1 if sp.is_byte(i) else {size}
    return base, lead, bound
{EVAL}"""
    tables, added, unread = run(text)
    assert not unread
    if spaced is None:
        assert tables == () and added == ()
        return
    assert [t.spaced for t in tables] == [spaced]
    assert [a.line for a in added] == [14]


def test_list_comprehension_and_class_attributes_are_followed() -> None:
    _, added, _ = run("""
class Counter:
    def __init__(self, sp):
        pieces = [sp.id_to_piece(i) for i in range(sp.vocab_size())]
        self.widths = torch.tensor([len(p.replace("\\u2581", " ").encode()) for p in pieces])
        self.leads = torch.tensor([p.startswith("\\u2581") for p in pieces])

    def count(self, y):
        return self.widths[y] + self.leads[y]
""")
    assert [(a.line, a.table.spaced) for a in added] == [(9, 4)]


def test_endless_and_hostile_builders_end() -> None:
    tables, _, unread = run("""
def luts(sp, n):
    base = [0] * n
    x = 3
    for i in range(4000):
        for j in range(4000):
            x = x * x * x
            base[j] = len(sp.id_to_piece(j)) * x
    return base
""")
    assert tables == ()
    assert unread


def test_fixed_bytes_per_token() -> None:
    text = "BPT = 2.44\nbpb = loss / math.log(2) / BPT\nok = loss / math.log(2.0) / n\n"
    found = analyse_fixed(build_index({"a.py": ast.parse(text)}))
    assert [f.line for f in found] == [2]


def _npz(values: list[int]) -> bytes:
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, widths=np.array(values, dtype=np.int16))
    return buffer.getvalue()


def test_tripled_single_bytes_in_a_shipped_table() -> None:
    found = byte_tables("t.npz", _npz([0] + [1] * 80 + [3] * 20 + [2] * 50 + [3] * 60))
    assert [t.tripled for t in found] == [20]
    assert [t.tripled for t in byte_tables("t.npz", _npz([0] + [1] * 100 + [2] * 50 + [3] * 60))] == [0]


def test_broken_archives_are_no_tables() -> None:
    assert byte_tables("t.npz", b"PK\x03\x04 nothing") == []
    assert byte_tables("t.npz", b"") == []
