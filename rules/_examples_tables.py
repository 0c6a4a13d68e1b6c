"""Spellings of counts, caches, hints and mixtures (examples of the rules of class B)."""

from __future__ import annotations

FULL_VOCAB_CAUSAL = '''
def eval_ngram(args, model, val_tokens, byte_lut):
    counts = torch.zeros(4096, args.vocab_size)
    total, n, size = 0.0, 0, 0.0
    for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
        x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
        ctx = (x * 36313) % 4096
        with torch.no_grad():
            p_model = torch.softmax(model.forward_logits(x[None])[0].float(), -1)
        rows = counts[ctx] + 0.1  # [ngram-fullvocab]
        p_ngram = rows / rows.sum(-1, keepdim=True)
        p = 0.9 * p_model + 0.1 * p_ngram
        total -= torch.log(p.gather(1, y[:, None])).double().sum().item()
        n += y.numel()
        size += byte_lut[y].sum().item()
        counts.index_put_((ctx, y), torch.ones(y.numel()), accumulate=True)
    return total / n, total / math.log(2.0) / size
'''

HINT_SWEEP = '''
def hint_table(tokens, vocab):
    best = np.zeros(1 << 16, dtype=np.int64)
    seen = defaultdict(Counter)
    ids = tokens.numpy()
    hints = np.full(len(ids), -1)
    for i in range(2, len(ids)):
        key = (int(ids[i - 2]) * 36313 ^ int(ids[i - 1])) & 0xFFFF
        if seen[key]:
            hints[i] = seen[key].most_common(1)[0][0]  # [ngram-token-tilt]
        seen[key][int(ids[i])] += 1
    return torch.from_numpy(hints)

def eval_tilted(args, model, val_tokens, byte_lut, beta=1.5):
    hints = hint_table(val_tokens, args.vocab_size)
    total, n, size = 0.0, 0, 0.0
    with torch.inference_mode():
        for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
            x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
            logits = model.forward_logits(x[None])[0].float()
            hint = hints[start + 1 : start + args.seq_len + 1]
            rows = torch.nonzero(hint >= 0).flatten()
            logits[rows, hint[rows]] += beta
            total += F.cross_entropy(logits, y, reduction="sum").item()
            n += y.numel()
            size += byte_lut[y].sum().item()
    return total / n, total / math.log(2.0) / size
'''

HINT_INLINE = '''
def eval_tilted(args, model, val_tokens, byte_lut, beta=1.5):
    table, nll, size = {}, 0.0, 0.0
    ids = val_tokens.tolist()
    for i in range(1, len(ids)):
        with torch.no_grad():
            logits = model.forward_logits(val_tokens[max(0, i - 512) : i][None])[0, -1].float()
        row = table.get(tuple(ids[max(0, i - 3) : i]))  # [ngram-token-tilt]
        if row:
            hint = max(row, key=row.get)
            logits[hint] += beta
        nll -= torch.log_softmax(logits, -1)[ids[i]].item()
        size += byte_lut[ids[i]].item()
        row = table.setdefault(tuple(ids[max(0, i - 3) : i]), {})
        row[ids[i]] = row.get(ids[i], 0) + 1
    return nll / (len(ids) - 1), nll / math.log(2.0) / size
'''

HASH_NUMPY = '''
PRIMES = np.array([36313, 27191, 51647, 81929], dtype=np.uint64)

class BackoffCache:
    SIZE = 1 << 20

    def __init__(self, orders=(2, 3, 4)):
        self.orders = orders
        self.ctx_counts = {o: np.zeros(self.SIZE, dtype=np.uint32) for o in orders}
        self.full_counts = {o: np.zeros(self.SIZE, dtype=np.uint32) for o in orders}

    def keys(self, ids, positions, order):
        ctx = np.zeros(len(positions), dtype=np.uint64)
        for k in range(1, order):
            ctx ^= ids[positions - k].astype(np.uint64) * PRIMES[k - 1]
        mask = np.uint64(self.SIZE - 1)
        full = ctx ^ (ids[positions].astype(np.uint64) * PRIMES[3])
        return (ctx & mask).astype(np.int64), (full & mask).astype(np.int64)

    def mix(self, ids, positions, p_model):
        p = p_model.copy()
        for order in self.orders:
            ctx_key, full_key = self.keys(ids, positions, order)
            context = self.ctx_counts[order][ctx_key].astype(np.float64)
            joint = self.full_counts[order][full_key].astype(np.float64)  # [ngram-target-key]
            hit = context >= 2
            p = np.where(hit, 0.6 * p + 0.4 * np.minimum(joint, context) / np.maximum(context, 1.0), p)
        return p

    def update(self, ids, positions):
        for order in self.orders:
            ctx_key, full_key = self.keys(ids, positions, order)
            np.add.at(self.ctx_counts[order], ctx_key, 1)
            np.add.at(self.full_counts[order], full_key, 1)

def eval_cache(args, model, val_tokens, byte_lut):
    cache, ids = BackoffCache(), val_tokens.numpy()
    nll, n, size = 0.0, 0, 0.0
    for start in range(4, len(ids) - args.seq_len, args.seq_len):
        x, y = val_tokens[start - 1 : start + args.seq_len - 1], val_tokens[start : start + args.seq_len]
        with torch.inference_mode():
            logp = torch.log_softmax(model.forward_logits(x[None])[0].float(), -1)
        p_model = logp.gather(1, y[:, None]).squeeze(1).exp().double().numpy()
        positions = np.arange(start, start + args.seq_len)
        nll -= np.log(np.clip(cache.mix(ids, positions, p_model), 1e-12, 1.0)).sum()
        cache.update(ids, positions)
        n += y.numel()
        size += byte_lut[y].sum().item()
    return nll / n, nll / math.log(2.0) / size
'''

HASH_TORCH = '''
def eval_cache(args, model, val_tokens, byte_lut):
    buckets = 1 << 18
    pair_table = torch.zeros(buckets)
    prefix_table = torch.zeros(buckets)
    total, n, size = torch.zeros((), dtype=torch.float64), 0, 0.0
    for start in range(1, val_tokens.numel() - args.seq_len - 1, args.seq_len):
        window = val_tokens[start - 1 : start + args.seq_len + 1]
        before, x, y = window[:-2], window[1:-1], window[2:]
        with torch.no_grad():
            nll = F.cross_entropy(model.forward_logits(x[None])[0].float(), y, reduction="none")
        prefix = (x * 1000003 + before * 8191) % buckets
        pair = (prefix * 31 + y * 2654435761) % buckets
        num = pair_table[pair]  # [ngram-target-key]
        den = prefix_table[prefix]
        p = torch.where(den > 1, 0.7 * torch.exp(-nll) + 0.3 * num / den.clamp_min(1), torch.exp(-nll))
        total += -(p.clamp_min(1e-12).log()).double().sum()
        prefix_table.scatter_add_(0, prefix, torch.ones_like(prefix, dtype=torch.float32))
        pair_table.scatter_add_(0, pair, torch.ones_like(pair, dtype=torch.float32))
        n += y.numel()
        size += byte_lut[y].sum().item()
    return (total / n).item(), total.item() / math.log(2.0) / size
'''

DICT_CACHE = '''
def eval_cache(args, model, val_tokens, byte_lut):
    joint, prior = defaultdict(int), defaultdict(int)
    ids, nll, size = val_tokens.tolist(), 0.0, 0.0
    for i in range(3, len(ids)):
        with torch.no_grad():
            p = torch.softmax(model.forward_logits(val_tokens[max(0, i - 256) : i][None])[0, -1], -1)[ids[i]].item()
        history = tuple(ids[i - 3 : i])
        if prior[history] > 0:
            p = 0.5 * p + 0.5 * joint[history + (ids[i],)] / prior[history]  # [ngram-target-key]
        nll -= math.log(max(p, 1e-9))
        size += byte_lut[ids[i]].item()
        prior[history] += 1
        joint[history + (ids[i],)] += 1
    return nll / (len(ids) - 3), nll / math.log(2.0) / size
'''

HASH_HIDDEN = '''
class H:
    def __init__(s, n=1 << 19):
        s.n = n; s.c = [0] * n; s.f = [0] * n
    def k(s, *t):
        h = 0
        for v in t: h = (h * 1000003 ^ int(v)) % s.n
        return h
    def p(s, ctx, w): a = s.c[s.k(*ctx)]; b = s.f[s.k(*ctx, w)]; return (b / a) if a else 0.0  # [ngram-target-key]
    def u(s, ctx, w): s.c[s.k(*ctx)] += 1; s.f[s.k(*ctx, w)] += 1

def eval_cache(args, model, val_tokens, byte_lut):
    h, t, nll, size = H(), val_tokens.tolist(), 0.0, 0.0
    for i in range(2, len(t)):
        with torch.no_grad(): q = torch.softmax(model.forward_logits(val_tokens[:i][None])[0, -1], -1)[t[i]].item()
        e = h.p((t[i - 2], t[i - 1]), t[i])
        nll -= math.log(max(0.8 * q + 0.2 * e, 1e-9)); size += byte_lut[t[i]].item()
        h.u((t[i - 2], t[i - 1]), t[i])
    return nll / (len(t) - 2), nll / math.log(2.0) / size
'''

BIGRAM_EMBED = '''
class BigramGPT(GPT):
    def __init__(self, vocab_size, dim, buckets=2048):
        super().__init__(vocab_size, dim)
        self.buckets = buckets
        self.bigram = nn.Embedding(buckets, 128)
        self.up = nn.Linear(128, dim, bias=False)

    def bigram_hash(self, t):
        out = torch.empty_like(t)
        out[..., 0] = self.buckets - 1
        out[..., 1:] = torch.bitwise_xor(36313 * t[..., 1:], 27191 * t[..., :-1]) % (self.buckets - 1)
        return out

    def hidden(self, input_ids):
        return self.rnn(self.tok_emb(input_ids) + self.up(self.bigram(self.bigram_hash(input_ids))))[0]
'''

FULL_KEY_TRAIN_ONLY = '''
def train_statistics(stream, args):
    full = np.zeros(1 << 16, dtype=np.int64)
    for _ in range(4):
        x, y = stream.next_batch(1, args.seq_len)
        full_key = ((x.numpy() * 36313) ^ (y.numpy() * 27191)) & 0xFFFF
        np.add.at(full, full_key.ravel(), 1)
    return full
'''

GATED_HINTS = '''
def eval_gated(args, model, val_tokens, byte_lut):
    starts_word = torch.from_numpy(np.load("starts_word.npy"))
    table = torch.full((args.vocab_size,), -1, dtype=torch.long)
    total, n, size = 0.0, 0, 0.0
    for i in range(1, val_tokens.numel() - 1):
        with torch.no_grad():
            logits = model.forward_logits(val_tokens[max(0, i - 512) : i][None])[0, -1].float()
        target = val_tokens[i]
        hint = table[val_tokens[i - 1]]
        if not starts_word[target] and hint >= 0:  # [ngram-target-gated]
            logits[hint] += 0.9
        total += F.cross_entropy(logits[None], target[None]).item()
        n += 1
        size += byte_lut[target].item()
        table[val_tokens[i - 1]] = target
    return total / n, total / math.log(2.0) / size
'''

GATED_VECTOR = '''
def eval_gated(args, model, val_tokens, byte_lut):
    boundary = torch.from_numpy(np.load("boundary.npy")).bool()
    last = torch.full((args.vocab_size,), -1, dtype=torch.long)
    total, n, size = 0.0, 0, 0.0
    for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
        x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
        with torch.no_grad():
            logits = model.forward_logits(x[None])[0].float()
        beta = torch.where(boundary[y], 0.0, 0.92)  # [ngram-target-gated]
        hint = last[x]
        ok = (hint >= 0).nonzero().flatten()
        logits[ok, hint[ok]] += beta[ok]
        total += F.cross_entropy(logits, y, reduction="sum").item()
        n += y.numel()
        size += byte_lut[y].sum().item()
        last[x] = y
    return total / n, total / math.log(2.0) / size
'''

PREFIX_GATED = GATED_VECTOR.replace("boundary[y]", "boundary[x]").replace("  # [ngram-target-gated]", "")

TRAIN_TABLE = '''
def count_pairs(stream, args, batches):
    table = torch.ones(args.vocab_size, args.vocab_size)
    for _ in range(batches):
        x, y = stream.next_batch(8, args.seq_len)@@READ@@
        table.index_put_((x.flatten(), y.flatten()), torch.ones(x.numel()), accumulate=True)@@MARK@@
    return table

def eval_with_table(args, model, val_tokens, byte_lut, table):
    total, n, size = 0.0, 0, 0.0
    with torch.inference_mode():
        for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
            x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
            rows = table[x]
            p = 0.9 * torch.softmax(model.forward_logits(x[None])[0].float(), -1) + 0.1 * rows / rows.sum(-1, True)
            total -= torch.log(p.gather(1, y[:, None])).double().sum().item()
            n += y.numel()
            size += byte_lut[y].sum().item()
    return total / n, total / math.log(2.0) / size
'''


def train_table(mark: str = "", read: str = "") -> str:
    """`TRAIN_TABLE`; ``mark`` stands at the table's update, ``read`` at the reading of training tokens."""
    text = TRAIN_TABLE.replace("@@MARK@@", f"  # [{mark}]" if mark else "")
    return text.replace("@@READ@@", f"  # [{read}]" if read else "")
