"""Hash tables with their size written out: shrunk together with their masks, and nothing else."""

from __future__ import annotations

import ast

import pytest

from auditor.behaviour.scale.rewrite import replace_spans
from auditor.behaviour.scale.tables import shrink


def shrunk(text: str) -> str:
    """``text`` after the edits."""
    _, edits = shrink("train_gpt.py", ast.parse(text), set())
    return replace_spans(text, edits)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "mask = np.uint64((1 << 22) - 1)\nt = {n: np.zeros(1 << 22, dtype=np.uint32) for n in range(3)}",
            "mask = np.uint64((256) - 1)\nt = {n: np.zeros(256, dtype=np.uint32) for n in range(3)}",
        ),
        ("t = np.zeros((7, 4194304))\nk = h & 4194303", "t = np.zeros((7, 256))\nk = h & 255"),
        ("t = torch.zeros(2**20, device=d)\nk = h % 2**20", "t = torch.zeros(256, device=d)\nk = h % 256"),
        ("t = np.zeros(999_983)\nk = h % 999983", "t = np.zeros(251)\nk = h % 251"),
    ],
)
def test_a_table_its_index_and_its_mask_shrink_together(text: str, expected: str) -> None:
    out = shrunk(text)
    assert out == expected or _same(out, expected)


def _same(left: str, right: str) -> bool:
    """Equal but for brackets and the way a constant is written."""
    return ast.dump(ast.parse(left)) == ast.dump(ast.parse(right.replace("(256) - 1", "255")))


@pytest.mark.parametrize(
    "text",
    [
        "size = os.path.getsize(p) / (1 << 20)\nLIMIT = 16_000_000\nif total > 16777216: pass",
        "t = np.zeros(1024)\nx = 1 << 22",
        "t = np.zeros(n)\nseed = 4194304",
        "t = np.zeros(50000)",
    ],
)
def test_other_large_numbers_stay(text: str) -> None:
    assert shrunk(text) == text


def test_what_is_rewritten_already_stays() -> None:
    text = "t = np.zeros(1 << 22)"
    taken = {(1, 13, 20)}
    assert shrink("f", ast.parse(text), taken) == ([], [])
