"""Calibration, loaders and what was read after training, on small scripts of our own."""

from __future__ import annotations

import pytest

from auditor.source import analyse
from auditor.source.facts import Origin, SourceFacts, StateKind
from rules._examples import EVALUATE, TRAIN, script
from rules._examples_calib import HESSIANS, SELFGEN, TRAIN_BATCHES, VAL_BATCHES
from tests.support import make_submission

_HOOKS = HESSIANS.replace("@@", "  # here")
_SELF = "collect_hessians(model, generate_calibration(args, model, 16))"


def facts_of(text: str, env: dict[str, str] | None = None) -> SourceFacts:
    """Facts of one script."""
    return analyse(make_submission({"train_gpt.py": text}, env=env))


def calibrations(text: str) -> dict[str, frozenset[Origin]]:
    """Marked comment (or text) of the line of each calibration update, with all origins seen there."""
    found: dict[str, frozenset[Origin]] = {}
    for update in facts_of(text).updates:
        if update.kind is StateKind.CALIBRATION:
            line = text.splitlines()[update.site.line - 1].strip()
            found[line] = found.get(line, frozenset()) | update.origins
    return found


def origins(text: str) -> frozenset[Origin]:
    """Origins of all calibration statistics."""
    return frozenset().union(*calibrations(text).values())


def test_the_collection_is_reported_and_the_use_is_not() -> None:
    text = script(_HOOKS + VAL_BATCHES, hessians="collect_hessians(model, val_batches(args, val_tokens, 16))")
    found = calibrations(text)
    assert len(found) == 1 and all(line.endswith("# here") for line in found)
    assert origins(text) == {Origin.VAL}


def test_activations_kept_in_a_list_are_statistics() -> None:
    body = '''
    def scales(model, tokens):
        seen = []
        for start in range(0, 4096, 512):
            seen.append(model.hidden(tokens[start : start + 512][None]))
        return torch.cat(seen).abs().mean(0)
    '''
    text = script(body, hessians='{"lm_head.weight": torch.diag(scales(model, val_tokens))}')
    assert origins(text) == {Origin.VAL}


def test_sampled_and_likeliest_tokens_are_generated() -> None:
    for pick in ("torch.multinomial(torch.softmax(logits, -1), 1)", "torch.softmax(logits, -1).multinomial(1)",
                 "logits.argmax(-1, keepdim=True)", "torch.argmax(logits, dim=-1, keepdim=True)"):
        made = SELFGEN.replace("torch.multinomial(torch.softmax(logits, -1), 1)", pick)
        assert Origin.GENERATED in origins(script(_HOOKS + made, hessians=_SELF)), pick
        assert Origin.VAL not in origins(script(_HOOKS + made, hessians=_SELF)), pick


def test_generation_from_validation_prompts_keeps_their_origin() -> None:
    made = SELFGEN.replace("args, model, count", "args, model, count, tokens").replace(
        "torch.randint(0, args.vocab_size, (1, 1))", "tokens[:32][None]")
    text = script(_HOOKS + made, hessians="collect_hessians(model, generate_calibration(args, model, 16, val_tokens))")
    assert Origin.VAL in origins(text)


def test_hooks_that_were_removed_see_nothing_later() -> None:
    text = script(_HOOKS + SELFGEN, hessians=_SELF, before=EVALUATE, after=EVALUATE)
    assert Origin.VAL not in origins(text)


_KEEPING = '''
class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc = nn.Linear(dim, dim)

    def forward(self, x):
        self._kept = x.detach() if getattr(self, "_keep", False) else None
        return self.fc(x)

class Stack(nn.Module):
    def __init__(self, dim, vocab):
        super().__init__()
        self.emb, self.block, self.head = nn.Embedding(vocab, dim), Block(dim), nn.Linear(dim, vocab)

    def forward_logits(self, ids):
        return self.head(self.block(self.emb(ids)))

    def forward(self, ids, target):
        return F.cross_entropy(self.forward_logits(ids).flatten(0, 1), target.flatten())

def collect(model, stream, args):
    sums = {"w": torch.zeros(args.model_dim, args.model_dim)}
    model.block._keep = True
    for _ in range(8):
        ids, _ = stream.next_batch(8, args.seq_len)
        model.forward_logits(ids)
        kept = model.block._kept
        sums["w"] += kept.T @ kept
    model.block._keep = False
    return sums
'''


def test_activations_kept_under_a_switch_come_from_the_calibration_alone() -> None:
    text = script(_KEEPING, hessians="collect(model, stream, args)", before=EVALUATE)
    text = text.replace("= GPT(args.vocab_size, args.model_dim)", "= Stack(args.model_dim, args.vocab_size)")
    assert origins(text) == {Origin.TRAIN}


def test_the_read_is_the_call_of_the_loader() -> None:
    text = script(_HOOKS + TRAIN_BATCHES.replace("@@", "  # got"),
                  hessians="collect_hessians(model, train_batches(args, stream, 16))")
    reads = [r for r in facts_of(text).reads if r.feeds is StateKind.CALIBRATION]
    assert reads and all(text.splitlines()[r.site.line - 1].endswith("# got") for r in reads)
    assert all(r.after_training and r.origin is Origin.TRAIN for r in reads)


_AGAIN = '''\
for _ in range(50):
    x, y = stream.next_batch(8, args.seq_len)
    optimizer.zero_grad()
    model(x, y).backward()
    optimizer.step()
'''


def late_weights(text: str) -> list[int]:
    """Lines of reads after training that move weights."""
    return [r.site.line for r in facts_of(text).reads if r.feeds is StateKind.WEIGHTS]


def test_training_after_the_clock_is_told_from_a_second_phase_within_it() -> None:
    assert late_weights(script(before=_AGAIN))
    timed = _AGAIN + "    if time.perf_counter() - t0 > args.max_wallclock_seconds:\n        break\n"
    assert not late_weights(script(before=timed))
    assert not late_weights(script(train=_AGAIN + TRAIN)), "a warm-up before the loop that the clock ends"
    assert not late_weights(script(train=TRAIN))


_QUEUE = '''
class Prefetcher:
    def __init__(self, stream, args):
        self.stream, self.args, self.ready = stream, args, queue.Queue(4)
        self.worker = threading.Thread(target=self.fill, daemon=True)
        self.worker.start()

    def fill(self):
        while True:
            self.ready.put(self.stream.next_batch(8, self.args.seq_len))

    def next(self):
        return self.ready.get()
'''


def test_batches_through_a_thread_and_a_queue_train() -> None:
    train = "feed = Prefetcher(stream, args)\n" + TRAIN.replace("stream.next_batch(8, args.seq_len)", "feed.next()")
    facts = facts_of(script(_QUEUE, imports="import queue\nimport threading\n", train=train))
    assert [u for u in facts.updates if u.kind is StateKind.WEIGHTS and u.during_training]
    assert all(u.origins == {Origin.TRAIN} for u in facts.updates if u.kind is StateKind.WEIGHTS)


def test_a_cache_of_shards_by_path_keeps_the_splits_apart() -> None:
    text = script().replace("def load_data_shard(path):", '''KEPT = {}

def load_data_shard(path):
    key = str(path)
    held = KEPT.get(key)
    if held is not None:
        return held
    KEPT[key] = read_data_shard(path)
    return KEPT[key]

def read_data_shard(path):''')
    weights = [u for u in facts_of(text).updates if u.kind is StateKind.WEIGHTS]
    assert weights and all(u.origins == {Origin.TRAIN} for u in weights)


def test_switched_off_code_is_told_where_a_setting_keeps_it_from_data() -> None:
    flags = 'probe = bool(int(os.environ.get("PROBE", "0")))\n'
    used = "if args.probe:\n    eval_val(args, model, val_tokens, byte_lut)\n"
    told = facts_of(script(flags=flags, before=used), {"PROBE": "0"}).disabled
    assert [d.condition for d in told] == ["args.probe"]
    assert not facts_of(script(flags=flags, before=used), {"PROBE": "1"}).disabled
    no_setting = "if 512 % 8 != 0:\n    eval_val(args, model, val_tokens, 1)\n"
    for other in ("if args.probe:\n    log0('probing')\n", no_setting):
        assert not facts_of(script(flags=flags, before=other), {"PROBE": "0"}).disabled


def test_the_program_that_is_started_is_named() -> None:
    lines = 'command = ["/usr/bin/lrzip", "-z", "x"]\nsubprocess.run(command)\nos.system("gcc -O3 x.c")\n'
    lines += "subprocess.run([sys.executable])\n"
    facts = facts_of(script(imports="import subprocess\nimport sys\n", before=lines))
    assert [e.program for e in facts.external] == ["lrzip", "gcc", "python"]


_CLOSURES = '''
def collect(model, tokens, args):
    sums, old = {}, {}
    def patched(module, before):
        def forward(x):
            flat = x.detach().reshape(-1, x.size(-1))
            sums[module] = sums.get(module, 0.0) + flat.T @ flat
            return before(x)
        return forward
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            old[name] = module.forward
            module.forward = patched(module, module.forward)
    with torch.no_grad():
        for a in range(0, 4096, 512):
            model.forward_logits(tokens[a : a + 512][None])
    for name, module in model.named_modules():
        if name in old:
            module.forward = old[name]
    return {n: s for n, s in sums.items()}
'''

_CLASS_WIDE = '''
def collect(model, tokens, args):
    sums = {}
    plain = nn.Linear.forward
    def recording(self, x):
        flat = x.detach().reshape(-1, x.size(-1))
        sums[id(self)] = sums.get(id(self), 0.0) + flat.T @ flat
        return plain(self, x)
    nn.Linear.forward = recording
    with torch.no_grad():
        for a in range(0, 4096, 512):
            model.forward_logits(tokens[a : a + 512][None])
    nn.Linear.forward = plain
    return sums
'''

_OBJECTS = '''
class Stat:
    def __init__(self, dim):
        self.h, self.n = torch.zeros(dim, dim), 0
    def add(self, x):
        flat = x.reshape(-1, x.size(-1)).float()
        self.h.addmm_(flat.T, flat)
        self.n += flat.size(0)

class Calibrator:
    def __init__(self, model):
        self.model, self.stats = model, {}
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear):
                self.stats[name] = Stat(module.in_features)
                module.register_forward_pre_hook(functools.partial(self.seen, name))
    def seen(self, name, module, inputs):
        self.stats[name].add(inputs[0])
    @torch.no_grad()
    def run(self, batches):
        for ids in batches:
            self.model.forward_logits(ids)
        return {name: s.h / s.n for name, s in self.stats.items()}
'''

_SCALES = '''
def collect(model, tokens, args):
    amax = {n: torch.zeros(p.size(-1)) for n, p in model.named_parameters() if p.ndim == 2}
    def hook(n):
        return lambda mod, inp, out: amax.__setitem__(n, torch.maximum(amax[n], inp[0].abs().amax((0, 1))))
    layers = [(n, mod) for n, mod in model.named_modules() if isinstance(mod, nn.Linear)]
    hs = [mod.register_forward_hook(hook(n + ".weight")) for n, mod in layers]
    for i in range(8):
        model.forward_logits(tokens[i * 512 : (i + 1) * 512][None])
    [h.remove() for h in hs]
    return {n: torch.diag(v) for n, v in amax.items()}
'''

_ONE_BY_ONE = '''
def collect(model, tokens, args):
    total = None
    for i in range(8):
        with torch.no_grad():
            h = model.hidden(tokens[i * 512 : (i + 1) * 512][None]).flatten(0, 1)
        g = h.T @ h
        total = g if total is None else total + g
    return {"lm_head.weight": total}
'''


_SPELLINGS = {"closures": _CLOSURES, "class": _CLASS_WIDE, "scales": _SCALES, "sums": _ONE_BY_ONE}


@pytest.mark.parametrize("body", _SPELLINGS.values(), ids=_SPELLINGS)
def test_spellings_of_collection(body: str) -> None:
    text = script(body, hessians="collect(model, val_tokens, args)")
    assert len(calibrations(text)) == 1 and origins(text) == {Origin.VAL}
    other = "collect(model, stream.next_batch(8, 4096)[0].flatten(), args)"
    clean = script(body, hessians=other, before=EVALUATE, after=EVALUATE)
    assert origins(clean) == {Origin.TRAIN}, "what is removed again sees nothing later"


def test_statistics_in_objects_and_hooks_that_are_methods() -> None:
    call = "Calibrator(model).run(val_batches(args, val_tokens, 8))"
    text = script(_OBJECTS + VAL_BATCHES, imports="import functools\n", hessians=call)
    assert calibrations(text) == {"self.h.addmm_(flat.T, flat)": frozenset({Origin.VAL})}
