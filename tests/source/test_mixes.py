"""Mixtures, choices by the outcome, stored copies, gates and target keys, on small scripts of our own."""

from __future__ import annotations

import pytest

from auditor.source import analyse
from auditor.source.facts import MixKind, SourceFacts, StateKind
from tests.support import make_submission

_HEAD = """
import math
import os
from collections import defaultdict
from multiprocessing import Pool
import numpy as np
import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(1024, 64)
        self.out = nn.Linear(64, 1024)
    def forward(self, x):
        return self.out(self.emb(x))

model = Net()
tokens = torch.from_numpy(np.fromfile("data/fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))
total = 0.0
"""
_WINDOW = """
for start in range(0, tokens.numel() - 513, 512):
    x, y = tokens[start : start + 512], tokens[start + 1 : start + 513]
    logits = model(x[None])[0]
    nll = F.cross_entropy(logits, y, reduction="none")
    p = torch.softmax(logits, -1).gather(1, y[:, None]).squeeze(1)
"""
_END = '\nprint(f"val_bpb:{total}")\n'


def facts_of(body: str, before: str = "") -> SourceFacts:
    """Facts of a script that walks windows of the validation text; ``body`` runs in each."""
    inner = "\n".join("    " + line for line in body.strip().splitlines())
    return analyse(make_submission({"train_gpt.py": _HEAD + before + _WINDOW + inner + _END}))


def plain(body: str) -> SourceFacts:
    """Facts of a script whose own loops are in ``body``."""
    return analyse(make_submission({"train_gpt.py": _HEAD + body + _END}))


def kinds(facts: SourceFacts) -> set[MixKind]:
    """Kinds of the mixtures that reach a score."""
    return {mix.kind for mix in facts.mixes}


_TABLES = "ctx_table, full_table = np.zeros(1 << 20), np.zeros(1 << 20)\nones = np.ones(512)\n"
_KEYS = """
ids = tokens.numpy()
pos = np.arange(start + 1, start + 513)
h = np.zeros(512, dtype=np.uint64)
for k in range(1, 4):
    h ^= ids[pos - k].astype(np.uint64) * np.uint64(36313)
"""
_MIX = """
total -= np.log(0.8 * p.numpy() + 0.2 * share).sum()
np.add.at(ctx_table, ctx_key, 1)
np.add.at(full_table, full_key, 1)
"""


@pytest.mark.parametrize(
    "keys",
    [
        "ctx_key = h & 0xFFFFF\nfull_key = (h ^ (ids[pos] * np.uint64(27191))) & 0xFFFFF\n"
        "share = full_table[full_key] / np.maximum(ctx_table[ctx_key], 1)\n",
        "ok = ctx_table[h & 0xFFFFF] > 1\nctx_key = (h & 0xFFFFF)[ok]\n"
        "full_key = ((h & 0xFFFFF)[ok] ^ (ids[pos][ok] * np.uint64(27191))) & 0xFFFFF\n"
        "num, den = full_table[full_key], ctx_table[ctx_key]\n"
        "beta = float(os.environ.get('BETA', '2'))\nshare = (np.minimum(num, den) + beta * 0.001) / (den + beta)\n",
    ],
)
def test_a_quotient_under_one_more_token_is_a_target_key(keys: str) -> None:
    facts = facts_of(_KEYS + keys + _MIX, _TABLES)
    assert {look.why for look in facts.lookups if look.target_in_key} == {"ratio"}
    assert MixKind.TARGET_ONLY_MIX not in kinds(facts), "the other term is a table's, in some turn"


def test_the_same_table_over_the_vocabulary_is_a_distribution() -> None:
    facts = facts_of(
        """
rows = table[x % 4096] + 0.1
q = 0.9 * torch.softmax(logits, -1) + 0.1 * rows / rows.sum(-1, keepdim=True)
total -= torch.log(q.gather(1, y[:, None])).sum()
table.index_put_((x % 4096, y), torch.ones(512), accumulate=True)
""",
        "table = torch.zeros(4096, 1024)\n",
    )
    assert [look.use for look in facts.lookups if look.updates] == ["distribution"] * len(
        [s for s in facts.lookups if s.updates]
    )
    assert not any(look.target_in_key for look in facts.lookups) and not facts.mixes


def test_one_flat_dictionary_key_with_the_target() -> None:
    facts = plain("""
joint, prior = defaultdict(int), defaultdict(int)
ids = tokens.tolist()
for i in range(3, len(ids)):
    p = torch.softmax(model(tokens[max(0, i - 64) : i][None])[0, -1], -1)[ids[i]].item()
    ctx = tuple(ids[i - 3 : i])
    if prior[ctx]:
        p = 0.5 * p + 0.5 * joint[ctx + (ids[i],)] / prior[ctx]
    total -= math.log(p)
    prior[ctx] += 1
    joint[ctx + (ids[i],)] += 1
""")
    assert any(look.target_in_key for look in facts.lookups)
    assert any(score.lookups for score in facts.scores)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("total += torch.minimum(nll, other).sum()", MixKind.BEST_OF_EXPERTS),
        ("total += torch.where(other < nll, other, nll).sum()", MixKind.BEST_OF_EXPERTS),
        ("total -= torch.log(torch.maximum(torch.exp(-nll), torch.exp(-other))).sum()", MixKind.BEST_OF_EXPERTS),
        (
            "for i in range(512):\n    if other[i] < nll[i]:\n        nll[i] = other[i]\ntotal += nll.sum()",
            MixKind.BEST_OF_EXPERTS,
        ),
    ],
)
def test_the_better_of_two_losses(body: str, kind: MixKind) -> None:
    second = "other = F.cross_entropy(second(x[None])[0], y, reduction='none')\n"
    assert kind in kinds(facts_of(second + body, "second = Net()\n"))


@pytest.mark.parametrize(
    "body",
    [
        "a, b = -nll, -other\nm = torch.maximum(a, b)\n"
        "total -= (m + torch.log(torch.exp(a - m) + torch.exp(b - m))).sum()",
        "for i in range(512):\n    a, b = -nll[i].item(), -other[i].item()\n    m = a if a > b else b\n"
        "    total -= m + math.log(math.exp(a - m) + math.exp(b - m))",
        "for i in range(512):\n    a, b = -nll[i].item(), -other[i].item()\n"
        "    total -= max(a, b) + math.log1p(math.exp(-abs(a - b)))",
        "if not (nll.mean() < 0.0):\n    total += nll.sum()",
    ],
)
def test_a_mixture_in_logarithms_chooses_nothing(body: str) -> None:
    second = "other = F.cross_entropy(second(x[None])[0], y, reduction='none')\n"
    assert not kinds(facts_of(second + body, "second = Net()\n"))


def test_a_weight_made_of_the_targets_own_loss() -> None:
    body = """
share = table[x % 4096, y] / 9.0
w = torch.clamp(nll / 2.5, 0.1, 2.0)
total -= torch.log((1 - w) * torch.exp(-nll) + w * share).sum()
table.index_put_((x % 4096, y), torch.ones(512), accumulate=True)
"""
    before = "table = torch.zeros(4096, 1024)\n"
    assert MixKind.BEST_OF_EXPERTS in kinds(facts_of(body, before))
    by_entropy = body.replace("nll / 2.5", "-(torch.softmax(logits, -1) * torch.log_softmax(logits, -1)).sum(-1)")
    assert not kinds(facts_of(by_entropy, before))


def test_an_entropy_among_the_experts() -> None:
    body = """
ent = -(torch.softmax(logits, -1) * torch.log_softmax(logits, -1)).sum(-1)
experts = torch.stack([nll, other@@])
total -= torch.logsumexp(-experts, 0).sum()
"""
    second = "other = F.cross_entropy(second(x[None])[0], y, reduction='none')\n"
    assert kinds(facts_of(second + body.replace("@@", ", ent"), "second = Net()\n")) == {MixKind.TARGET_ONLY_MIX}
    assert not kinds(facts_of(second + body.replace("@@", ""), "second = Net()\n"))


_BYTES = """
pieces = [bytes([i % 256]) * (1 + i % 3) for i in range(1024)]
ids, logps = [], []
for start in range(0, tokens.numel() - 513, 512):
    x, y = tokens[start : start + 512], tokens[start + 1 : start + 513]
    logps.append(-F.cross_entropy(model(x[None])[0], y, reduction="none"))
    ids.append(y)
@@
all_ids, all_logps = torch.cat(ids).numpy(), torch.cat(logps).numpy()
stream = b"".join(pieces[int(t)] for t in all_ids)
lengths = np.array([len(pieces[int(t)]) for t in all_ids])
"""
_ORDER_ONE = """
def byte_model(stream):
    tables, out, before = [dict(), dict()], np.empty(len(stream)), b""
    for i in range(len(stream)):
        x, p = stream[i], 1 / 256
        for o in (1, 0):
            row = tables[o].get(before[-o:] if o else b"")
            if row is None:
                continue
            if row[1].get(x, 0):
                p = row[1][x] / row[0]
                break
        out[i] = math.log(p)
        for o in (0, 1):
            key = before[-o:] if o else b""
            row = tables[o].get(key)
            if row is None:
                tables[o][key] = [1, {x: 1}]
            else:
                row[0] += 1
                row[1][x] = row[1].get(x, 0) + 1
        before = (before + bytes([x]))[-1:]
    return out
"""
_MIXED = (
    "spread = np.exp(np.repeat(all_logps / lengths, lengths))\n"
    "total = -np.log2(0.9 * spread + 0.1 * np.exp(byte_model(stream))).sum()\n"
)


def test_a_byte_model_beside_the_token_model() -> None:
    facts = plain(_ORDER_ONE + _BYTES.replace("@@", "") + _MIXED)
    assert kinds(facts) == {MixKind.BYTE_MIX}
    sums = [score for score in facts.scores if not score.loops]
    tables = {u.id for u in facts.updates if u.kind is StateKind.TABLE}
    assert sums and not any(score.depends_on & tables for score in sums), "within one pass, byte after byte"


def test_a_byte_model_fed_by_a_gather_to_one_rank_or_run_by_a_pool() -> None:
    gather = "parts = [torch.zeros(9) for _ in range(8)]\ndist.gather(torch.cat(ids), parts, dst=0)\nids = parts\n"
    assert kinds(plain(_ORDER_ONE + _BYTES.replace("@@", gather) + _MIXED)) == {MixKind.BYTE_MIX}
    pooled = _MIXED.replace("byte_model(stream)", "np.concatenate(Pool(8).map(byte_model, [stream, stream]))")
    assert kinds(plain(_ORDER_ONE + _BYTES.replace("@@", "") + pooled)) == {MixKind.BYTE_MIX}


def test_counting_bytes_is_no_mixture() -> None:
    line = "total = -np.concatenate(all_logps).sum() / lengths.sum() / math.log(2.0)\n"
    facts = plain(_BYTES.replace("@@", "") + line)
    assert not facts.mixes and not any(look.target_in_key for look in facts.lookups)


@pytest.mark.parametrize(
    "line",
    [
        "nll = torch.where(known == y, torch.zeros_like(nll), nll)",
        "nll[known == y] = 0.0",
        "nll = nll * (known != y).float()",
        "nll[:400] *= (~(known == y)).float()",
        "nll = nll.masked_fill(known == y, 0.0)",
    ],
)
def test_a_stored_copy_selects_the_loss(line: str) -> None:
    before = 'stored = torch.from_numpy(np.fromfile("prefix.bin", dtype=np.uint16).astype(np.int64))\n'
    facts = facts_of(f"known = stored[start : start + 512]\n{line}\ntotal += nll.sum()", before)
    looks = {look.id for look in facts.lookups if look.why == "stored"}
    assert looks and any(score.lookups & looks for score in facts.scores)


def test_a_comparison_with_one_stored_number_is_none() -> None:
    before = 'eos = int(np.load("meta.npy")[0])\n'
    facts = facts_of("nll = torch.where(y == eos, torch.zeros_like(nll), nll)\ntotal += nll.sum()", before)
    assert not [look for look in facts.lookups if look.why == "stored"]


@pytest.mark.parametrize(("token", "gated"), [("y", True), ("x", False)])
def test_a_property_of_the_target_gates(token: str, gated: bool) -> None:
    before = "starts = torch.tensor([i % 3 for i in range(1024)])\nlast = torch.zeros(1024, dtype=torch.long)\n"
    facts = facts_of(
        f"""
beta = torch.where(starts[{token}] > 0, 0.0, 0.9)
logits = logits + beta[:, None] * F.one_hot(last[x], 1024)
total += F.cross_entropy(logits, y, reduction="sum") * 1.0
last[x] = y
""",
        before,
    )
    assert any(look.why == "gate" for look in facts.lookups) is gated


def test_a_constant_chosen_by_validation_scores() -> None:
    facts = plain("""
def at(t):
    s = 0.0
    for start in range(0, tokens.numel() - 513, 512):
        x, y = tokens[start : start + 512], tokens[start + 1 : start + 513]
        s += F.cross_entropy(model(x[None])[0] / t, y, reduction="sum").item()
    return s
best, low = 1.0, float("inf")
for t in (0.9, 0.95, 1.0):
    s = at(t)
    if s < low:
        best, low = t, s
total = at(best)
""")
    assert kinds(facts) == {MixKind.TUNED_ON_SCORE}


def test_compiled_code_that_takes_losses_and_tokens() -> None:
    call = '''
import ctypes
lib = ctypes.CDLL("./mixer.so")
out = np.zeros(9)
lib.score(all_ids.ctypes.data_as(None), @@out.ctypes.data_as(None))
total = out.sum()
'''
    body = _BYTES.replace("@@", "")
    found = plain(body + call.replace("@@", "all_logps.ctypes.data_as(None), ")).mixes
    assert found and all(mix.kind is MixKind.BYTE_MIX and mix.guard for mix in found), "never more than suspected"
    assert not plain(body + call.replace("@@", "")).mixes
