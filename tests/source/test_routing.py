"""Tokens that a table sends to experts are no targets: nothing is scored by sorting them."""

from __future__ import annotations

from tests.source.test_mixes import facts_of

_ROUTE = """
table = torch.arange(1024) % 4
order = table[x].argsort(stable=True)
hidden = model.emb(x)[order]
logits = model.out(hidden)
total += F.cross_entropy(logits, y, reduction="sum").item()
"""
_PICK = """
logits = torch.log_softmax(model(x[None])[0], -1)
total -= logits[torch.arange(512), y].sum().item()
"""


def test_routing_by_a_table_is_no_score_and_no_gate() -> None:
    facts = facts_of(_ROUTE)
    lines = {score.site.line for score in facts.scores}
    assert len(lines) == 3, "the window's own cross-entropy and probability, and the loss after the routing"
    assert not [look for look in facts.lookups if look.why == "gate"]


def test_the_target_s_own_entry_is_one() -> None:
    assert len({score.site.line for score in facts_of(_PICK).scores}) == 3
