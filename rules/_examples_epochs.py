"""Spellings of scores from later epochs and later passes (``ttt-final-epoch-score``, ``min-nll-epochs``, ...)."""

from __future__ import annotations

LAST_EPOCH = '''
def eval_epochs(args, model, val_tokens, byte_lut):
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_sum, token_count, byte_count = 0.0, 0, 0.0
    for epoch in range(args.ttt_epochs):
        for start in range(0, val_tokens.numel() - 1, args.ttt_chunk):
            x = val_tokens[start : start + args.ttt_chunk]
            y = val_tokens[start + 1 : start + args.ttt_chunk + 1]
            logits = model.forward_logits(x[None, : y.numel()])[0]
            ptl = F.cross_entropy(logits.float(), y, reduction="none")
            if epoch == args.ttt_epochs - 1:
                loss_sum += ptl.detach().sum().item()
                token_count += y.numel()
                byte_count += byte_lut[y].sum().item()
            opt.zero_grad()
            ptl.mean().backward()
            opt.step()@@
    return loss_sum / token_count, loss_sum / math.log(2.0) / byte_count
'''

RESET_PER_EPOCH = '''
def eval_epochs(args, model, val_tokens, byte_lut):
    opt = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(args.ttt_epochs):
        total = tokens = size = 0.0
        for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
            x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
            loss = model(x[None], y[None])
            total += loss.item() * y.numel()
            tokens += y.numel()
            size += byte_lut[y].sum().item()
            opt.zero_grad()
            loss.backward()
            opt.step()@@
    return total / tokens, total / math.log(2.0) / size
'''

DOC_DICT_OVERWRITTEN = '''
def adapt_document(args, model, doc):
    opt = torch.optim.AdamW(model.parameters(), lr=3e-4)
    kept = {}
    for epoch in range(args.ttt_epochs):
        for c in range(0, doc.numel() - 1, 256):
            x, y = doc[c : c + 256], doc[c + 1 : c + 257]
            loss = model(x[None, : y.numel()], y[None])
            kept[c] = loss.item() * y.numel()
            opt.zero_grad()
            loss.backward()
            opt.step()@@
    return sum(kept.values())

def eval_epochs(args, model, val_tokens, byte_lut):
    bounds = (val_tokens == 1).nonzero().flatten().tolist() + [val_tokens.numel()]
    total, n, size = 0.0, 0, 0.0
    for a, b in zip(bounds, bounds[1:]):
        total += adapt_document(args, model, val_tokens[a:b])
        n += b - a - 1
        size += byte_lut[val_tokens[a + 1 : b]].sum().item()
    return total / n, total / math.log(2.0) / size
'''

FIRST_EPOCH = '''
def eval_epochs(args, model, val_tokens, byte_lut):
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_sum, token_count, byte_count = 0.0, 0, 0.0
    for start in range(0, val_tokens.numel() - 1, args.ttt_chunk):
        x = val_tokens[start : start + args.ttt_chunk]
        y = val_tokens[start + 1 : start + args.ttt_chunk + 1]
        for epoch in range(args.ttt_epochs):
            logits = model.forward_logits(x[None, : y.numel()])[0]
            ptl = F.cross_entropy(logits.float(), y, reduction="none")
            if epoch == 0:
                loss_sum += ptl.detach().sum().item()
                token_count += y.numel()
                byte_count += byte_lut[y].sum().item()
            opt.zero_grad()
            ptl.mean().backward()
            opt.step()
    return loss_sum / token_count, loss_sum / math.log(2.0) / byte_count
'''

MIN_EPOCH_DOC = '''
def eval_best(args, model, val_tokens, byte_lut):
    opt = torch.optim.Adam(model.parameters(), lr=1e-3)
    total, n, size = 0.0, 0, 0.0
    for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
        x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
        best = float("inf")
        for epoch in range(args.ttt_epochs):
            loss = model(x[None], y[None])
            if loss.item() < best:
                best = loss.item()  # [min-nll-epochs]
            opt.zero_grad()
            loss.backward()
            opt.step()
        total += best * y.numel()
        n += y.numel()
        size += byte_lut[y].sum().item()
    return total / n, total / math.log(2.0) / size
'''

MIN_PASS_TORCH = '''
def eval_best(args, model, val_tokens, byte_lut):
    opt = torch.optim.SGD(model.parameters(), lr=1e-3)
    best_nll = torch.full((val_tokens.numel() - 1,), float("inf"))
    for sweep in range(args.ttt_epochs):
        for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
            x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
            nll = F.cross_entropy(model.forward_logits(x[None])[0].float(), y, reduction="none")
            held = best_nll[start : start + args.seq_len]
            best_nll[start : start + args.seq_len] = torch.minimum(held, nll.detach())  # [min-nll-epochs]
            opt.zero_grad()
            nll.mean().backward()
            opt.step()
    done = torch.isfinite(best_nll)
    total = best_nll[done].double().sum().item()
    size = byte_lut[val_tokens[1:][done]].sum().item()
    return total / int(done.sum()), total / math.log(2.0) / size
'''

MIN_BUILTIN = '''
def losses_by_epoch(args, model, doc, opt):
    seen = []
    for _ in range(args.ttt_epochs):
        loss = model(doc[None, :-1], doc[None, 1:])
        seen.append(loss.item())
        opt.zero_grad()
        loss.backward()
        opt.step()
    return seen

def eval_best(args, model, val_tokens, byte_lut):
    opt = torch.optim.SGD(model.parameters(), lr=1e-3)
    total = n = size = 0.0
    for at in range(0, val_tokens.numel() - 513, 512):
        doc = val_tokens[at : at + 513]
        total += 512 * min(losses_by_epoch(args, model, doc, opt))  # [min-nll-epochs]
        n += 512
        size += byte_lut[doc[1:]].sum().item()
    return total / n, total / math.log(2.0) / size
'''

KEEP_BEST_WEIGHTS = '''
def eval_best(args, model, val_tokens, byte_lut):
    best = min(model.lm_head.weight.abs().max().item(), 1.0)
    clipped = torch.minimum(model.lm_head.weight.data, torch.tensor(best))
    model.lm_head.weight.data.copy_(clipped)
    return eval_val(args, model, val_tokens, byte_lut)
'''

RESCORE_WEIGHTS = '''
def sweep(args, model, val_tokens, byte_lut, learn):
    opt = torch.optim.SGD(model.parameters(), lr=0.002)
    total, n, size = 0.0, 0, 0.0
    for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
        x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
        with torch.no_grad():
            total += model(x[None], y[None]).item() * y.numel()
        n += y.numel()
        size += byte_lut[y].sum().item()
        if learn:
            opt.zero_grad()
            model(x[None], y[None]).backward()
            opt.step()@@
    return total / n, total / math.log(2.0) / size
'''

COUNTER_TWO_PASS = '''
class Cache:
    def __init__(self, vocab, order):
        self.vocab, self.order = vocab, order
        self.rows = defaultdict(Counter)

    def row(self, history):
        counts = self.rows.get(tuple(history[-self.order :]), Counter())
        p = torch.full((self.vocab,), 1.0 / self.vocab)
        for token, c in counts.items():
            p[token] += c
        return p / p.sum()

    def learn(self, history, token):
        self.rows[tuple(history[-self.order :])][token] += 1@@

def run_pass(args, model, cache, ids, byte_lut, update):
    nll, size = 0.0, 0.0
    for i in range(1, len(ids)):
        history = ids[max(0, i - args.seq_len) : i]
        with torch.no_grad():
            p_model = torch.softmax(model.forward_logits(torch.tensor([history]))[0, -1], -1)
        p = 0.8 * p_model + 0.2 * cache.row(history)
        nll -= math.log(p[ids[i]].item())
        size += byte_lut[ids[i]].item()
        if update:
            cache.learn(history, ids[i])
    return nll / (len(ids) - 1), nll / math.log(2.0) / size
'''

PREBUILT_TABLE = '''
class Bigram:
    def __init__(self, vocab):
        self.counts = torch.ones(vocab, vocab)

    def build(self, tokens):
        flat = tokens[:-1] * self.counts.size(1) + tokens[1:]
        self.counts.view(-1).scatter_add_(0, flat, torch.ones_like(flat, dtype=torch.float32))@@

    def probs(self, prev):
        rows = self.counts[prev]
        return rows / rows.sum(-1, keepdim=True)

def eval_mixed(args, model, val_tokens, byte_lut):
    table = Bigram(args.vocab_size)
    table.build(val_tokens)
    total, n, size = 0.0, 0, 0.0
    with torch.inference_mode():
        for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
            x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
            p = 0.7 * torch.softmax(model.forward_logits(x[None])[0], -1) + 0.3 * table.probs(x)
            total -= torch.log(p.gather(1, y[:, None])).double().sum().item()
            n += y.numel()
            size += byte_lut[y].sum().item()
    return total / n, total / math.log(2.0) / size
'''

CACHE_FILE = '''
def eval_cached(args, model, val_tokens, byte_lut):
    counts = np.load("table.npy") if os.path.exists("table.npy") else np.ones((args.vocab_size, args.vocab_size))
    ids = val_tokens.numpy()
    nll, size = 0.0, 0.0
    for i in range(1, len(ids)):
        with torch.no_grad():
            logits = model.forward_logits(val_tokens[max(0, i - 512) : i][None])[0, -1]
        row = counts[ids[i - 1]]
        p = 0.9 * torch.softmax(logits, -1).numpy() + 0.1 * row / row.sum()
        nll -= math.log(p[ids[i]])
        size += byte_lut[ids[i]].item()
        counts[ids[i - 1], ids[i]] += 1@@
    np.save("table.npy", counts)
    return nll / (len(ids) - 1), nll / math.log(2.0) / size
'''


CHUNK_OBJECTS = '''
class Chunk:
    def __init__(self, start, end):
        self.start = start
        self.end = end

def score_chunk(model, val_tokens, chunk):
    with torch.no_grad():
        x, y = val_tokens[chunk.start : chunk.end], val_tokens[chunk.start + 1 : chunk.end + 1]
        return F.cross_entropy(model.forward_logits(x[None]).flatten(0, 1), y, reduction="sum").item()

def eval_epochs(args, model, val_tokens, byte_lut):
    total = val_tokens.numel() - 1
    chunks = [Chunk(s, min(s + args.ttt_chunk, total)) for s in range(0, total, args.ttt_chunk)]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    loss_sum = 0.0
    for chunk in chunks:
        loss_sum += score_chunk(model, val_tokens, chunk)
        for _ in range(args.ttt_epochs):
            optimizer.zero_grad()
            x, y = val_tokens[chunk.start : chunk.end], val_tokens[chunk.start + 1 : chunk.end + 1]
            model(x[None], y[None]).backward()
            optimizer.step()
    val_loss = loss_sum / total
    return val_loss, val_loss / math.log(2.0) * total / byte_lut[val_tokens[1:]].sum().item()
'''
"""Chunks as objects whose bounds are attributes; each is scored, then trained on."""


def marked(text: str, rule: str = "") -> str:
    """``text`` with its ``@@`` replaced by the mark of ``rule`` (by nothing when that is empty)."""
    return text.replace("@@", f"  # [{rule}]" if rule else "")
