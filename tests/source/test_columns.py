"""Columns of windows that were put together: context and target keep their names; next-token pairs stay two."""

from __future__ import annotations

from tests.source.test_mixes import facts_of, plain

_TABLES = "full = torch.zeros(1 << 16)\n"
_MIX = """
context, t = torch.stack([x[1:509], x[2:510], x[3:511]], dim=1), y[4:]
own = torch.softmax(logits, -1)[4:].gather(1, t[:, None]).squeeze(1)
window = torch.cat([context, LAST.unsqueeze(1)], dim=1)
h = torch.zeros(508, dtype=torch.int64)
for k in range(4):
    h = h ^ (window[:, k] * (36313 + k))
total -= torch.log(0.8 * own + 0.2 * full[h % 65536] / 1000).sum().item()
full.scatter_add_(0, h % 65536, torch.ones(508))
"""


def keyed(last: str) -> bool:
    return any(look.target_in_key for look in facts_of(_MIX.replace("LAST", last), before=_TABLES).lookups)


def test_the_target_among_the_columns_is_in_the_key() -> None:
    assert keyed("t")


def test_a_window_of_the_context_alone_is_not() -> None:
    assert not keyed("x[4:]")


def test_the_halves_of_a_pair_stay_apart() -> None:
    facts = plain("""
seen = torch.zeros(1 << 16)
rows = torch.stack([tokens[0:513], tokens[512:1025]])
for k in range(2):
    x, y = rows[:, :-1][k], rows[:, 1:][k]
    q = seen[(x * 36313) % 65536]
    nll = -torch.log(0.9 * torch.softmax(model(x[None])[0], -1).gather(1, y[:, None]).squeeze(1) + 0.1 * q)
    total += nll.sum().item()
    seen.scatter_add_(0, (x * 36313) % 65536, torch.ones(512))
""")
    assert facts.lookups and not any(look.target_in_key for look in facts.lookups)
