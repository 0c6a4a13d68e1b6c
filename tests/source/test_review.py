"""Unusual spellings of cheats, and their honest twins: each pair was once told apart wrongly, or not at all."""

from __future__ import annotations

import pytest

from auditor.source.facts import Order, StateKind
from rules._order import pairs
from tests.source.test_machine import facts_of, orders

COUNTS = """
from collections import Counter, defaultdict
ids = val.tolist()
full, short = {{}}, {{}}
total = 0.0
for i in range(2, 999):
    a, b, t = ids[i - 2], ids[i - 1], ids[i]
    p = torch.exp(-net(val[i - 1:i], val[i:i + 1])).item()
    if short.get((a, b), 0) > 0:
        p = 0.7 * p + 0.3 * full.get({key}, 0) / short.get((a, b), 0)
    total -= math.log(p)
    full[{key}] = full.get({key}, 0) + 1
    short[(a, b)] = short.get((a, b), 0) + 1
print('val_bpb', total)
"""


@pytest.mark.parametrize(("key", "keyed"), [
    ("(a, b, t)", True), ("f'{a}-{b}-{t}'", True), ("b''.join(v.to_bytes(2, 'little') for v in (a, b, t))", True),
    ("hash((a, b, t))", True), ("f'{a}-{b}'", False), ("(a, b)", False),
])
def test_a_key_of_several_tokens_is_one_however_it_is_written(key: str, keyed: bool) -> None:
    facts = facts_of("import math\n" + COUNTS.format(key=key))
    assert any(look.target_in_key for look in facts.lookups) is keyed


WHOLE = """
counts = torch.zeros(64, 64)
{before}
table = counts / counts.sum(1, keepdim=True).clamp_min(1)
total = 0.0
for i in range(0, 99, 8):
    x, y = val[i:i + 8], val[i + 1:i + 9]
    p = 0.9 * torch.softmax(net.head(net.emb(x)), -1) + 0.1 * table[x]
    total -= torch.log(p[torch.arange(8), y]).sum().item()
print('val_bpb', total)
"""


@pytest.mark.parametrize(("source", "found"), [("val", True), ("load('data/fineweb_train_*.bin')", False)])
def test_what_is_computed_from_a_table_is_still_a_table(source: str, found: bool) -> None:
    facts = facts_of(WHOLE.format(before=f"text = {source}\ncounts.index_put_((text[:-1], text[1:]), 1.0, accumulate=True)"))
    told = {pair.order for pair in pairs(facts, StateKind.TABLE)}
    assert (Order.EARLIER_PASS in told) is found
