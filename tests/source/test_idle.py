"""An update in a turn that has nothing to go through is a doubtful one; behind a plain flag it is not."""

from __future__ import annotations

import ast

import pytest

from auditor.core.types import Confidence
from auditor.source.flow.idle import idle_turn
from rules import load_rules
from tests.source.test_mixes import plain
from tests.support import make_submission

_CHUNKS = """
counts = np.ones(1 << 16)
flags = []
done = False
chunks = [[s for s in range(a, min(a + 2048, tokens.numel() - 513), 512)] for a in range(0, tokens.numel(), 2048)]
for number, windows in enumerate(chunks):
    if {test}:
        part = tokens[number * 2048 : number * 2048 + 2048].numpy()
        counts += np.bincount(part, minlength=1 << 16)
        done = True
        continue
    for s in windows:
        x, y = tokens[s : s + 512], tokens[s + 1 : s + 513]
        nll = F.cross_entropy(model(x[None])[0], y, reduction="none")
        p = 0.5 * torch.exp(-nll) + 0.5 * torch.from_numpy(counts[y.numpy()] / counts.sum())
        total += float(-torch.log(p).sum())
    counts += np.bincount(tokens[windows[0] + 1 : windows[-1] + 513].numpy(), minlength=1 << 16)
"""


def surest(test: str) -> Confidence | None:
    """Of rescore-two-pass."""
    ruled = load_rules()["rescore-two-pass"].check_source(
        make_submission({"train_gpt.py": ""}), plain(_CHUNKS.format(test=test))
    )
    levels = [finding.confidence for finding in ruled.findings]
    return Confidence.HIGH if Confidence.HIGH in levels else levels[0] if levels else None


@pytest.mark.parametrize("test", ["not windows", "len(windows) == 0", "not len(windows)"])
def test_an_update_where_nothing_is_scored_goes_to_review(test: str) -> None:
    assert surest(test) is Confidence.MEDIUM


@pytest.mark.parametrize("test", ["not done", "not flags", "number == 0", "windows"])
def test_behind_any_other_condition_it_is_sure(test: str) -> None:
    assert surest(test) is Confidence.HIGH


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        ("if not xs:\n  f()\n  continue", True),
        ("if xs.numel() == 0:\n  f()\n  continue", True),
        ("if xs.size == 0:\n  f()\n  continue", True),
        ("if not xs:\n  f()", False),
        ("if not flag:\n  f()\n  continue", False),
        ("if len(xs) == 1:\n  f()\n  continue", False),
    ],
)
def test_what_counts_as_idle(text: str, idle: bool) -> None:
    inside = "".join(f"  {line}\n" for line in (*text.splitlines(), "g(xs[0])"))
    loop = ast.parse("for xs in groups:\n" + inside).body[0]
    assert isinstance(loop, ast.For)
    branch = loop.body[0]
    assert isinstance(branch, ast.If)
    assert idle_turn(branch.test, branch.body, loop) is idle
