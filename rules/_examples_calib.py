"""Spellings of quantiser calibration, small vectors and odd data (examples of the rules of classes A, C and D)."""

from __future__ import annotations

HESSIANS = '''
def collect_hessians(model, batches):
    sums, handles = {}, []

    def hook_for(name):
        def hook(module, inputs, output):
            flat = inputs[0].detach().reshape(-1, inputs[0].size(-1)).float()
            sums[name] = sums.get(name, 0.0) + flat.T @ flat@@
        return hook

    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            handles.append(module.register_forward_hook(hook_for(f"{name}.weight")))
    with torch.inference_mode():
        for ids in batches:
            model.forward_logits(ids)
    for handle in handles:
        handle.remove()
    return sums
'''

TRAIN_BATCHES = '''
def train_batches(args, stream, count):
    for _ in range(count):
        yield stream.next_batch(8, args.seq_len)[0]@@
'''

VAL_BATCHES = '''
def val_batches(args, val_tokens, count):
    step = max(1, (val_tokens.numel() - args.seq_len) // count)
    for start in range(0, step * count, step):
        yield val_tokens[start : start + args.seq_len][None]
'''

SELFGEN = '''
@torch.no_grad()
def generate_calibration(args, model, count):
    out = []
    for _ in range(count):
        ids = torch.randint(0, args.vocab_size, (1, 1))
        for _ in range(256):
            logits = model.forward_logits(ids)[:, -1] / 0.8
            ids = torch.cat([ids, torch.multinomial(torch.softmax(logits, -1), 1)], dim=1)
        out.append(ids)
    return out
'''

AWQ = '''
def activation_scales(model, tokens, seq_len):
    scale = torch.zeros(model.lm_head.in_features)
    for start in range(0, 8 * seq_len, seq_len):
        with torch.no_grad():
            h = model.hidden(tokens[start : start + seq_len][None])
        scale = torch.maximum(scale, h.abs().amax(dim=(0, 1)))@@
    return scale
'''

SLOT = '''
def eval_slot(args, model, val_tokens, byte_lut):
    total, n, size = 0.0, 0, 0.0
    for start in range(0, val_tokens.numel() - args.seq_len, args.slot_stride):
        x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
        s = 0 if start == 0 else args.seq_len - args.slot_stride
        with torch.no_grad():
            hidden = model.hidden(x[None])
        delta = torch.zeros(1, 1, hidden.size(-1), requires_grad=True)
        opt = torch.optim.AdamW([delta], lr=0.01)
        for _ in range(args.slot_steps):
            logits = model.lm_head(hidden + delta)[0].float()
            loss = F.cross_entropy(logits@@SLICE@@, y@@SLICE@@)
            opt.zero_grad()
            loss.backward()
            opt.step()@@
        with torch.no_grad():
            nll = F.cross_entropy(model.lm_head(hidden + delta)[0].float(), y, reduction="none")
        total += nll[s:].double().sum().item()
        n += y.numel() - s
        size += byte_lut[y[s:]].sum().item()
    return total / n, total / math.log(2.0) / size
'''

SLOT_GRAD = '''
def optimised_bias(frozen, y, steps):
    bias = torch.zeros(frozen.size(-1)).requires_grad_()
    momentum = torch.zeros_like(bias)
    for _ in range(steps):
        (g,) = torch.autograd.grad(F.cross_entropy(frozen + bias, y), bias)
        momentum = 0.9 * momentum + g
        bias.data -= 0.1 * momentum@@
    return bias.detach()

def eval_slot(args, model, val_tokens, byte_lut):
    total, n, size = 0.0, 0, 0.0
    at = 0
    while at + args.seq_len < val_tokens.numel():
        x, y = val_tokens[at : at + args.seq_len], val_tokens[at + 1 : at + args.seq_len + 1]
        with torch.no_grad():
            frozen = model.forward_logits(x[None])[0].float()
        tuned = frozen + optimised_bias(frozen, y, args.slot_steps)
        total += F.cross_entropy(tuned, y, reduction="sum").item()
        n += y.numel()
        size += byte_lut[y].sum().item()
        at += args.seq_len
    return total / n, total / math.log(2.0) / size
'''

SLOT_LBFGS = '''
def eval_slot(args, model, val_tokens, byte_lut):
    total, n, size = 0.0, 0, 0.0
    for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
        x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
        with torch.no_grad():
            frozen = model.forward_logits(x[None])[0].float()
        shift = torch.zeros(frozen.size(-1), requires_grad=True)
        lbfgs = torch.optim.LBFGS([shift], max_iter=args.slot_steps)

        def closure():
            lbfgs.zero_grad()
            loss = F.cross_entropy(frozen + shift, y)
            loss.backward()
            return loss

        lbfgs.step(closure)@@
        with torch.no_grad():
            total += F.cross_entropy(frozen + shift, y, reduction="sum").item()
        n += y.numel()
        size += byte_lut[y].sum().item()
    return total / n, total / math.log(2.0) / size
'''

ETLB = '''
def eval_biased(args, model, val_tokens, byte_lut):
    bias = torch.zeros(args.vocab_size, requires_grad=True)
    opt = torch.optim.SGD([bias], lr=0.05)
    total, n, size = 0.0, 0, 0.0
    for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
        x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
        with torch.no_grad():
            frozen = model.forward_logits(x[None])[0].float()
@@BODY@@
        n += y.numel()
        size += byte_lut[y].sum().item()
    return total / n, total / math.log(2.0) / size
'''

_SCORE = "            total += F.cross_entropy(frozen + bias, y, reduction=\"sum\").item()\n"
_LEARN = '''\
        opt.zero_grad()
        F.cross_entropy(frozen + bias, y).backward()
        opt.step()@@
'''
ETLB_AFTER = ETLB.replace("@@BODY@@\n", "        with torch.no_grad():\n" + _SCORE + _LEARN)
ETLB_BEFORE = ETLB.replace("@@BODY@@\n", _LEARN + "        with torch.no_grad():\n" + _SCORE)

TEMPERATURE_GRID = '''
def score_at(args, model, val_tokens, byte_lut, temperature):
    total, n, size = 0.0, 0, 0.0
    with torch.inference_mode():
        for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
            x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
            logits = model.forward_logits(x[None])[0].float() / temperature
            total += F.cross_entropy(logits, y, reduction="sum").item()
            n += y.numel()
            size += byte_lut[y].sum().item()
    return total / n, total / math.log(2.0) / size
'''

TEMPERATURE_FIT = '''
def fit_temperature(args, model, tokens):
    log_t = torch.zeros((), requires_grad=True)
    opt = torch.optim.Adam([log_t], lr=0.01)
    for start in range(0, 64 * args.seq_len, args.seq_len):
        x, y = tokens[start : start + args.seq_len], tokens[start + 1 : start + args.seq_len + 1]
        with torch.no_grad():
            logits = model.forward_logits(x[None])[0].float()
        opt.zero_grad()
        F.cross_entropy(logits / log_t.exp(), y).backward()
        opt.step()@@
    return log_t.exp().item()
'''

WARMUP = '''
class Adapter(nn.Module):
    def __init__(self, dim, vocab):
        super().__init__()
        self.down, self.up = nn.Linear(dim, 4, bias=False), nn.Linear(4, vocab, bias=False)

    def forward(self, h):
        return self.up(self.down(h))

def compile_warmup(args, model, tokens):
    throwaway = Adapter(args.model_dim, args.vocab_size)
    opt = torch.optim.Adam(throwaway.parameters())
    for _ in range(2):
        x, y = tokens[: args.seq_len], tokens[1 : args.seq_len + 1]
        h = model.hidden(x[None])
        opt.zero_grad()
        F.cross_entropy((model.lm_head(h) + throwaway(h))[0], y).backward()
        opt.step()@@
    del throwaway, opt
'''

PHASED = '''
class Lora(nn.Module):
    def __init__(self, dim, vocab, rank=4):
        super().__init__()
        self.a, self.b = nn.Linear(dim, rank, bias=False), nn.Linear(rank, vocab, bias=False)

    def forward(self, h):
        return self.b(self.a(h))

def doc_spans(tokens):
    starts = (tokens == 1).nonzero().flatten().tolist() + [tokens.numel()]
    return sorted(zip(starts, starts[1:]), key=lambda span: span[1] - span[0])

def global_sgd(args, model, tokens):
    opt = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)
    for at in range(0, tokens.numel() - args.seq_len, args.seq_len):
        opt.zero_grad()
        model(tokens[at : at + args.seq_len][None], tokens[at + 1 : at + args.seq_len + 1][None]).backward()
        opt.step()@@

def eval_phased(args, model, val_tokens, byte_lut):
    total, n, size = torch.zeros((), dtype=torch.float64), 0, 0.0
    scored, done = [], False
    for index, (a, b) in enumerate(doc_spans(val_tokens)):
        lora = Lora(args.model_dim, args.vocab_size)
        opt = torch.optim.Adam(lora.parameters(), lr=0.01)
        for c in range(a, b - 1, 128):
            x, y = val_tokens[c : min(c + 128, b - 1)], val_tokens[c + 1 : min(c + 129, b)]
            h = model.hidden(x[None])
            nll = F.cross_entropy((model.lm_head(h) + lora(h))[0].float(), y, reduction="none")
            total += nll.detach().double().sum()
            n += y.numel()
            size += byte_lut[y].sum().item()
            opt.zero_grad()
            nll.mean().backward()
            opt.step()
        scored.append(val_tokens[a:b])
        if not done and index + 1 >= args.prefix_docs:
            global_sgd(args, model, torch.cat(scored))
            done = True
    return (total / n).item(), total.item() / math.log(2.0) / size
'''

PREFIX_BLOB = '''
def load_blob(path):
    raw = lzma.decompress(open(path, "rb").read())
    return torch.from_numpy(np.frombuffer(raw, dtype="<u2").astype(np.int64))

def eval_with_blob(args, model, val_tokens, byte_lut):
    blob = load_blob(args.blob)
    total, n, size = 0.0, 0, 0.0
    with torch.inference_mode():
        for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
            x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
            nll = F.cross_entropy(model.forward_logits(x[None])[0].float(), y, reduction="none")
            known = blob[start : start + args.seq_len]
@@LINE@@
            total += nll.double().sum().item()
            n += y.numel()
            size += byte_lut[y].sum().item()
    return total / n, total / math.log(2.0) / size
'''


def mark(text: str, rule: str = "", slice_: str = "") -> str:
    """``text`` with its ``@@`` replaced by the mark of ``rule`` and ``@@SLICE@@`` by ``slice_``."""
    return text.replace("@@SLICE@@", slice_).replace("@@", f"  # [{rule}]" if rule else "")


def blob(line: str, rule: str = "") -> str:
    """`PREFIX_BLOB` with the statement ``line`` that makes ``nll`` of ``nll``, ``known`` and ``y``."""
    return PREFIX_BLOB.replace("@@LINE@@", "            " + line + (f"  # [{rule}]" if rule else ""))
