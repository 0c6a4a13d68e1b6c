"""Unusual spellings of cheats, and their honest twins: each pair was once told apart wrongly, or not at all."""

from __future__ import annotations

import pytest

from auditor.source.facts import MixKind, Order, Origin, StateKind
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
    ("hash((a, b, t))", True), ("(a * 64 + b) * 64 + t", True),
    ("a * 64 + b", False), ("f'{a}-{b}'", False), ("(a, b)", False),
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
    filled = f"text = {source}\ncounts.index_put_((text[:-1], text[1:]), 1.0, accumulate=True)"
    facts = facts_of(WHOLE.format(before=filled))
    told = {pair.order for pair in pairs(facts, StateKind.TABLE)}
    assert (Order.EARLIER_PASS in told) is found


TRAINED = "net(val[None, :-1], val[None, 1:]).backward()"
FINAL = "\nprint('val_bpb', net(val[:-1], val[1:]).item())\n"
CHUNKS = "total = 0.0\nfor i in range(0, 99, 8):\n    x, y = val[i:i + 8], val[i + 1:i + 9]\n"

STEP_ON_LEAVING = '''
import contextlib
@contextlib.contextmanager
def learning(opt):
    opt.zero_grad()
    try:
        yield opt
    finally:
        opt.step()
class Learning:
    def __init__(self, opt):
        self.opt = opt
    def __enter__(self):
        self.opt.zero_grad()
        return self
    def __exit__(self, *exc):
        self.opt.step()
class Box:
    @contextlib.contextmanager
    def open(self, opt):
        with learning(opt) as inner:
            yield inner
'''


@pytest.mark.parametrize("manager", [
    "learning(opt)", "Learning(opt)", "Box().open(opt)", "torch.no_grad(), learning(opt) as o",
])
def test_what_a_context_manager_does_on_leaving_comes_after_its_body(manager: str) -> None:
    before = facts_of(STEP_ON_LEAVING + f"with {manager}:\n    {TRAINED}" + FINAL)
    assert orders(before) == {Order.EARLIER_PASS}
    scored = "        loss = net(x, y)\n        loss.backward()\n        total += loss.item()\n"
    inside = CHUNKS + f"    with {manager}:\n{scored}"
    assert orders(facts_of(STEP_ON_LEAVING + inside + "print('val_bpb', total)")) == {Order.SCORE_FIRST}
    after = CHUNKS + f"    with {manager}:\n        net(x, y).backward()\n    total += net(x, y).item()\n"
    assert orders(facts_of(STEP_ON_LEAVING + after + "print('val_bpb', total)")) == {Order.TRAIN_FIRST}


def test_a_thread_of_the_users_class_runs_where_it_is_started() -> None:
    worker = '''
import threading
class Worker(threading.Thread):
    def run(self):
        opt.zero_grad()
        net(val[:-1], val[1:]).backward()
        opt.step()
w = Worker()
'''
    assert orders(facts_of(worker + "w.start(); w.join()" + FINAL)) == {Order.EARLIER_PASS}
    assert orders(facts_of(worker + FINAL)) == set()


FUNCTIONAL = '''
from torch.func import functional_call, grad, grad_and_value
params = {k: v.detach() for k, v in net.named_parameters()}
def objective(p, x, y):
    return functional_call(net, p, (x, y))
total = 0.0
for i in range(0, 99, 8):
    x, y = val[i:i + 8], val[i + 1:i + 9]
'''


@pytest.mark.parametrize(("lines", "expected"), [
    (["total += objective(params, x, y).item()", "g = grad(objective)(params, x, y)"], Order.SCORE_FIRST),
    (["g, loss = grad_and_value(objective)(params, x, y)", "total += loss.item()"], Order.SCORE_FIRST),
])
def test_functional_gradients_update_what_they_are_gradients_of(lines: list[str], expected: Order) -> None:
    step = "params = {k: params[k] - 0.1 * g[k] for k in params}"
    first = FUNCTIONAL + "".join(f"    {line}\n" for line in [*lines, step]) + "print('val_bpb', total)"
    assert orders(facts_of(first)) == {expected}
    late = [lines[-1].replace("total += loss.item()", "g, loss = grad_and_value(objective)(params, x, y)"), step]
    late.append("total += objective(params, x, y).item()")
    assert orders(facts_of(FUNCTIONAL + "".join(f"    {line}\n" for line in late) + "print('val_bpb', total)")) == {
        Order.TRAIN_FIRST
    }


@pytest.mark.parametrize("found", [
    "load('{}/fineweb_{}_*.bin'.format('data', 'val'))", "load('data/%s_%s_*.bin' % ('fineweb', 'val'))",
    "torch.cat([torch.from_file('data/' + f) for f in os.listdir('data') if 'val' in f])",
    "torch.cat([torch.from_file(p) for p in pathlib.Path('data').iterdir() if p.name.startswith('fineweb_val')])",
    "{s: load(f'data/fineweb_{s}_*.bin') for s in ('train', 'val')}['val']", "by_split()['val']", "skipping()",
    "load_dataset('some/corpus', split='validation')",
])
def test_validation_text_is_known_however_its_path_is_put_together(found: str) -> None:
    helpers = '''
import pathlib
from datasets import load_dataset
def by_split():
    parts = {}
    for split in ('train', 'test', 'val'):
        parts[split] = load(f'data/fineweb_{split}_*.bin')
    return parts
def skipping():
    kept = []
    for f in os.listdir('data'):
        if 'val' not in f:
            continue
        kept.append(torch.from_file(os.path.join('data', f)))
    return torch.cat(kept)
'''
    facts = facts_of(helpers + f"text = {found}\ntotal = net(text[:-1], text[1:]).item()\nprint('val_bpb', total)")
    assert len(facts.scores) == 1
    other = found.replace("validation", "train").replace("val", "train").replace("'test', 'train'", "'train', 'val'")
    other = helpers.replace("'val' not", "'train' not") + f"text = {other}\ntotal = net(text[:-1], text[1:]).item()\n"
    assert not facts_of(other).scores


@pytest.mark.parametrize("spelling", [
    "torch.stack(rows).min(0).values", "functools.reduce(torch.minimum, rows)", "torch.stack(rows).amin(dim=0)",
    "torch.min(torch.stack(rows), 0).values", "np.min(np.stack(rows), axis=0)",
])
def test_the_least_of_several_passes_is_found_in_every_spelling(spelling: str) -> None:
    body = CHUNKS.replace("total", "import functools\nimport numpy as np\ntotal", 1) + f'''
    rows = []
    for epoch in range(3):
        nll = F.cross_entropy(net.head(net.emb(x)), y, reduction='none')
        rows.append(nll.detach())
        opt.zero_grad(); nll.mean().backward(); opt.step()
    total += {spelling}.sum().item()
print('val_bpb', total)
'''
    assert any(mix.kind is MixKind.MIN_OVER_PASSES for mix in facts_of(body).mixes)


BANK = '''
import functools
class Bank:
    def __init__(self, model):
        self.seen = {{}}
        for name, mod in model.named_modules():
            mod.register_forward_hook(functools.partial(self.see, name))
    def see(self, name, mod, inp, out):
        a = inp[0].reshape(-1, 8)
        old = self.seen.get(name)
        self.seen[name] = a.T @ a if old is None else old + a.T @ a
bank = Bank(net)
with torch.no_grad():
    net({data}[:-1], {data}[1:])
for name, mod in net.named_modules():
    if name in bank.seen:
        mod.weight.data.copy_(torch.linalg.solve(bank.seen[name], mod.weight))
'''


@pytest.mark.parametrize(("data", "origin"), [("val", Origin.VAL), ("load('data/fineweb_train_*.bin')", Origin.TRAIN)])
def test_statistics_written_straight_into_the_weights_are_calibration(data: str, origin: Origin) -> None:
    facts = facts_of(BANK.format(data=data) + FINAL)
    assert {o for u in facts.updates if u.kind is StateKind.CALIBRATION for o in u.origins} == {origin}


SEARCHED = '''
import bisect, math
ids = val.tolist()
keys, ends = [], []
total = 0.0
for i in range(2, 999):
    c = ids[i - 2] * 64 + ids[i - 1]
    k = {key}
    seen = bisect.bisect_right(ends, c) - bisect.bisect_left(ends, c)
    hits = bisect.bisect_right(keys, k) - bisect.bisect_left(keys, k)
    p = torch.exp(-net(val[i - 1:i], val[i:i + 1])).item()
    p = 0.7 * p + 0.3 * hits / max(1, seen)
    total -= math.log(p)
    bisect.insort(keys, k); bisect.insort(ends, c)
print('val_bpb', total)
'''

SPARSE = '''
table = torch.sparse_coo_tensor(size=(4096, 2)).coalesce()
total = 0.0
for i in range(2, 999, 8):
    x, y = val[i - 1:i + 7], val[i:i + 8]
    c = (val[i - 2:i + 6] * 36313 + x * 27191) % 4096
    k = {key}
    counts = table.to_dense()
    p = torch.softmax(net.head(net.emb(x)), -1).gather(1, y[:, None]).squeeze(1)
    total -= (0.7 * p + 0.3 * counts[k, 0] / counts[c, 1].clamp_min(1)).log().sum().item()
    table = table + torch.sparse_coo_tensor(torch.stack([k, k * 0]), torch.ones(8))
    table = table + torch.sparse_coo_tensor(torch.stack([c, c * 0 + 1]), torch.ones(8))
print('val_bpb', total)
'''


@pytest.mark.parametrize(("body", "key", "keyed"), [
    (SEARCHED, "c * 64 + ids[i]", True), (SEARCHED, "ids[i - 1]", False),
    (SPARSE, "(c * 31 + y) % 4096", True), (SPARSE, "(c * 31) % 4096", False),
])
def test_sorted_lists_and_sparse_tensors_are_tables(body: str, key: str, keyed: bool) -> None:
    assert any(look.target_in_key for look in facts_of(body.format(key=key)).lookups) is keyed


LEARN = "opt.zero_grad(); net(x, y).backward(); opt.step()"
SPELLINGS = {
    "registry": ("STAGES = []\ndef stage(f):\n    STAGES.append(f)\n    return f\n"
                 f"@stage\ndef learn(x, y):\n    {LEARN}\n", "[f(x, y) for f in STAGES]"),
    "decorator": (f"def first(f):\n    def inner(x, y):\n        {LEARN}\n        return f(x, y)\n    return inner\n"
                  "@first\ndef nothing(x, y):\n    return None\n", "nothing(x, y)"),
    "bound": ("step = opt.step\n", "opt.zero_grad(); loss = net(x, y); [f() for f in (loss.backward, step)]"),
    "foreach": ("ps = list(net.parameters())\n",
                "g = torch.autograd.grad(net(x, y), ps); torch._foreach_add_(ps, list(g), alpha=-0.1)"),
    "vector": ("from torch.nn.utils import vector_to_parameters as put\nps = list(net.parameters())\n",
               "g = torch.autograd.grad(net(x, y), ps); put(torch.cat(ps) - 0.1 * torch.cat(g), ps)"),
    "globals": (f"def learn(x, y):\n    {LEARN}\n", "globals()['learn'](x, y)"),
    "gradient hook": ("for p in net.parameters():\n    p.register_post_accumulate_grad_hook(lambda p: opt.step())\n",
                      "net(x, y).backward()"),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_an_update_is_one_however_it_is_reached(name: str) -> None:
    before, learn = SPELLINGS[name]
    score = "with torch.no_grad():\n        total += net(x, y).item()"
    for lines, expected in (([score, learn], Order.SCORE_FIRST), ([learn, score], Order.TRAIN_FIRST)):
        body = before + CHUNKS + "".join(f"    {line}\n" for line in lines) + "print('val_bpb', total)"
        assert orders(facts_of(body)) == {expected}, lines


def test_a_state_dictionary_that_is_changed_and_loaded_again_keeps_its_calibration() -> None:
    body = BANK.format(data="val").partition("for name, mod in net.named")[0] + (
        "sd = net.state_dict()\nfor name in bank.seen:\n"
        "    sd[name + '.weight'] = sd[name + '.weight'] * bank.seen[name]\n"
        "net.load_state_dict(sd)\n"
    )
    facts = facts_of(body + FINAL)
    assert any(u.kind is StateKind.CALIBRATION and Origin.VAL in u.origins for u in facts.updates)


def test_lists_of_files_put_together_are_read_one_after_the_other() -> None:
    for other, expected in (("val", {Origin.TRAIN, Origin.VAL}), ("train2", {Origin.TRAIN})):
        body = f"files = glob.glob('d/fineweb_train_*.bin') + sorted(glob.glob('d/fineweb_{other}_*.bin'))\n" + (
            "for f in files:\n    text = torch.from_file(f)\n    for i in range(0, 99, 8):\n"
            "        x, y = text[i:i + 8], text[i + 1:i + 9]\n"
            f"        {LEARN}\n" + FINAL
        )
        assert {o for u in facts_of(body).updates for o in u.origins} == expected


def test_a_tensors_sum_by_method_keeps_what_it_is_made_of() -> None:
    body = "prior = torch.bincount({text}, minlength=64).float().add(1).log()\ntotal = 0.0\n"
    body += CHUNKS.partition("\n")[2]
    body += "    total += F.cross_entropy(net.head(net.emb(x)) + prior, y).item()\nprint('val_bpb', total)"
    early = {p.order for p in pairs(facts_of(body.format(text="val")), StateKind.TABLE)}
    assert early == {Order.EARLIER_PASS}
    assert not pairs(facts_of(body.format(text="load('fineweb_train_*.bin')")), StateKind.TABLE)
