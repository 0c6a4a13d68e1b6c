"""Programs told apart by their normal form, and traced to the earlier one that they are nearest to."""

from __future__ import annotations

import ast

import pytest

from auditor.sweep.lineage import Program, difference, nearest
from auditor.sweep.task import functions

BASE = '''
"""A script."""
import torch

class Net(torch.nn.Module):
    """A net."""
    width = 4

    def forward(self, x):
        """Forward."""
        return x * self.width  # scaled

def train(steps):
    for step in range(steps):
        print(step)

train(3)
'''
REFORMATTED = """
import torch
class Net(torch.nn.Module):
  width=4;
  def forward(self,x): return x*self.width
def train(steps):
  for step in range(steps): print(step)   # a comment
train(3)
"""


def told(text: str) -> dict[str, tuple[str, int]]:
    return functions(ast.parse(text))


def test_comments_formatting_and_docstrings_do_not_count() -> None:
    def without_docstring(text: str) -> str:
        return text.replace('"""Forward."""', '"""Other words."""')

    assert told(BASE) == told(without_docstring(BASE))
    assert told(BASE)["train"] == told(REFORMATTED)["train"]
    assert set(told(BASE)) == {"<module>", "Net.forward", "train"}


def test_docstrings_may_be_absent() -> None:
    assert told(BASE)["Net.forward"] == told(REFORMATTED)["Net.forward"]
    assert told(BASE) == told(REFORMATTED)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("range(steps)", "range(steps + 1)", ["train"]),
        ("width = 4", "width = 8", ["<module>"]),
        ("x * self.width", "x + self.width", ["Net.forward"]),
        ("train(3)", "train(4)", ["<module>"]),
        ("torch.nn.Module", "torch.nn.Linear", ["<module>"]),
        ("def train(steps)", "def train(steps=3)", ["train"]),
    ],
)
def test_every_other_change_is_named(old: str, new: str, changed: list[str]) -> None:
    before, after = (Program(n, (n, ""), "", told(t)) for n, t in enumerate((BASE, BASE.replace(old, new))))
    assert difference(before, after) == (changed, [], [])


def test_the_tree_is_left_as_it_was() -> None:
    tree = ast.parse(BASE)
    before = ast.dump(tree)
    functions(tree)
    assert ast.dump(tree) == before


def test_functions_of_one_name_are_kept_apart() -> None:
    assert len(told("def f(): return 1\ndef f(): return 2\n")) == 3


def test_the_nearest_is_an_earlier_one_and_the_earliest_of_equals() -> None:
    other = "def unrelated(a, b):\n    return a + b\n"
    texts = [BASE, other, BASE.replace("width = 4", "width = 5"), BASE, other + "x = 1\n"]
    programs = [Program(n, (n, ""), "", told(t)) for n, t in enumerate(texts)]
    found = list(nearest(programs))
    assert found[0] == (None, 0.0)
    assert found[1][1] == 0.0
    assert found[2][0] == 0 and 0.2 < found[2][1] < 1.0
    assert found[3][0] == 0 and found[3][1] > 0.9999
    assert found[4][0] == 1
    assert list(nearest([])) == []


def test_a_function_under_another_name_neither_came_nor_went() -> None:
    before, after = (Program(n, (n, ""), "", told(t)) for n, t in enumerate((BASE, BASE.replace("train", "fit"))))
    changed, added, removed = difference(before, after)
    assert "<module>" in changed and added == ["fit"] and removed == ["train"], "the name is part of the function"
