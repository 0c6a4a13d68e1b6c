"""The abstract machine on small scripts: what is followed, what is told apart, and that nothing makes it fall."""

from __future__ import annotations

import pathlib
import textwrap

import pytest

from auditor.core.submission import Launch, Setting
from auditor.core.types import Place
from auditor.source import analyse
from auditor.source.facts import Order, Origin, SourceFacts, StateKind, order
from tests.support import make_submission

HEAD = """
import glob, os, torch
import torch.nn.functional as F

def load(pattern):
    return torch.cat([torch.from_file(p) for p in sorted(glob.glob(pattern))])

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = torch.nn.Embedding(64, 8)
        self.head = torch.nn.Linear(8, 64)
    def forward(self, x, y):
        return F.cross_entropy(self.head(self.emb(x)), y)

val = load("data/fineweb_val_*.bin")
net = Net()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
"""


def facts_of(body: str, **settings: str) -> SourceFacts:
    """Facts of `HEAD` and ``body`` under launch settings."""
    submission = make_submission({"train_gpt.py": HEAD + textwrap.dedent(body), "train.log": "step:1/1 val_loss:1.0\n"})
    env = {name: Setting(name, value, Place(file="run.sh", line=1), "run_script") for name, value in settings.items()}
    object.__setattr__(submission, "launch", Launch(env=env))
    return analyse(submission)


def orders(facts: SourceFacts) -> set[Order]:
    """How validation updates stand to the reported scores that depend on them."""
    said = {s for r in facts.reports for s in r.scores}
    return {
        order(facts, update, score) for score in facts.scores if score.id in said
        for update in facts.updates if update.id in score.depends_on and Origin.VAL in update.origins
    }


TRAIN = "x, y = val[i:i + 8], val[i + 1:i + 9]; loss = net(x, y); opt.zero_grad(); loss.backward(); opt.step()"
ZERO, SAY = "total = 0.0\n", "print('val_bpb', total)"
SCORE = "x, y = val[i:i + 8], val[i + 1:i + 9]; total += net(x, y).item()"


@pytest.mark.parametrize(("body", "expected"), [
    (f"{ZERO}for i in range(0, 99, 8):\n    {SCORE}\n    {TRAIN}\n{SAY}", {Order.SCORE_FIRST}),
    (f"{ZERO}for i in range(0, 99, 8):\n    {TRAIN}\n    {SCORE}\n{SAY}", {Order.TRAIN_FIRST}),
    (f"{ZERO}for i in range(0, 99, 8):\n    {TRAIN}\nfor i in range(0, 99, 8):\n    {SCORE}\n{SAY}",
     {Order.EARLIER_PASS}),
    (f"for e in range(3):\n    {ZERO}    for i in range(0, 99, 8):\n        {SCORE}\n        {TRAIN}\n{SAY}",
     {Order.REPEATED}),
    (f"for e in range(1):\n    {ZERO}    for i in range(0, 99, 8):\n        {SCORE}\n        {TRAIN}\n{SAY}",
     {Order.SCORE_FIRST}),
])
def test_the_order_of_score_and_update(body: str, expected: set[Order]) -> None:
    facts = facts_of(body)
    assert facts.complete
    assert orders(facts) == expected


def test_a_load_of_the_saved_state_forgets_the_updates() -> None:
    saved = f"state = net.state_dict()\nfor i in range(9):\n    {TRAIN}\n"
    body = f"total = 0.0\n{{}}for i in range(0, 99, 8):\n    {SCORE}\n{SAY}"
    assert orders(facts_of(saved + body.format(""))) == {Order.EARLIER_PASS}
    assert orders(facts_of(saved + body.format("net.load_state_dict(state)\n"))) == set()


def test_updates_travel_through_files_and_another_instance() -> None:
    body = f"""
for i in range(9):
    {TRAIN}
torch.save(net.state_dict(), "final.pt")
other = Net()
other.load_state_dict(torch.load("final.pt"))
total = 0.0
for i in range(0, 99, 8):
    x, y = val[i:i + 8], val[i + 1:i + 9]
    total += other(x, y).item()
print('val_bpb', total)
"""
    assert orders(facts_of(body)) == {Order.EARLIER_PASS}


SWITCHED = f"""
if int(os.environ.get("ADAPT", "0")):
    for i in range(9):
        {TRAIN}
total = 0.0
for i in range(0, 99, 8):
    {SCORE}
print('val_bpb', total)
"""


def test_flags_follow_defaults_and_launch_settings() -> None:
    assert orders(facts_of(SWITCHED, OTHER="1")) == set()
    on = facts_of(SWITCHED, ADAPT="1")
    assert orders(on) == {Order.EARLIER_PASS}
    assert all(not u.guard for u in on.updates)


def test_without_log_and_command_a_default_decides_nothing() -> None:
    facts = analyse(make_submission({"train_gpt.py": HEAD + SWITCHED}))
    assert orders(facts) == {Order.EARLIER_PASS}
    assert all(u.guard for u in facts.updates)


def test_alternatives_of_a_setting_do_not_see_each_other() -> None:
    body = f"""
total = 0.0
if os.path.exists("adapt.flag"):
    for i in range(9):
        {TRAIN}
else:
    for i in range(0, 99, 8):
        {SCORE}
print('val_bpb', total)
"""
    assert orders(facts_of(body)) == set()


def test_only_scores_behind_a_report_are_reported() -> None:
    facts = facts_of(f"{ZERO}for i in range(9):\n    {SCORE}\nunused = net(val[:8], val[1:9])\n{SAY}")
    said = {s for r in facts.reports for s in r.scores}
    silent = [s for s in facts.scores if s.id not in said]
    assert silent and all(s.site.line > 20 or s.site.function == "Net.forward" for s in silent)


@pytest.mark.parametrize("script", [
    "while True:\n    pass\n",
    "def f(n):\n    return f(n) + f(n)\nf(1)\n",
    "class A:\n    def __getattr__(self, n): return getattr(self, n)\nA().x\n",
    "def g():\n    yield from g()\nfor x in g(): print(x)\n",
    "a = [[1]]\na[0] = a\nprint(a, a[0][0])\n",
    "x = 10 ** 10 ** 10\ny = 'a' * 10 ** 12\nz = 1 << 10 ** 9\n",
    "import sys\nsys.exit(1)\n",
    "raise SystemExit\n",
    "import a.b.c as d\nfrom . import e\nfrom .f import *\nd.x.y(e)\n",
    "match 1:\n    case {'a': [1, *r]}: print(r)\n    case _: pass\n",
    "async def f():\n    async for x in y: await x\n    async with z as w: pass\n",
    "lambda *a, **k: (yield)\n",
    "x: int\nglobal q\ndel q\nassert x, y\n",
    "(lambda f: f(f))(lambda f: f(f))\n",
])
def test_no_script_makes_it_fall(script: str) -> None:
    facts = analyse(make_submission({"train_gpt.py": script}))
    assert facts.entry == "train_gpt.py" and not facts.scores


def test_a_spent_budget_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.source.flow.expressions.MAX_STEPS", 50)
    facts = facts_of(SWITCHED)
    assert not facts.complete and any("cut short" in sentence for sentence in facts.unresolved)


def test_an_imported_module_that_does_not_parse_is_not_covered() -> None:
    facts = analyse(make_submission({"train_gpt.py": "import helper\nhelper.run()\n", "helper.py": "def run(:\n"}))
    assert not facts.complete and "helper.py does not parse" in facts.unresolved


def test_a_script_that_does_not_parse_is_not_covered() -> None:
    facts = analyse(make_submission({"train_gpt.py": "def main(:\n"}))
    assert not facts.complete and "train_gpt.py:1" in facts.unresolved[0]


@pytest.mark.slow
def test_the_standard_library_makes_it_not_fall() -> None:
    for path in sorted(pathlib.Path(textwrap.__file__).parent.glob("*.py"))[::4]:
        facts = analyse(make_submission({"train_gpt.py": path.read_text(encoding="utf-8")}))
        assert not any(u.kind is StateKind.WEIGHTS for u in facts.updates), path.name
