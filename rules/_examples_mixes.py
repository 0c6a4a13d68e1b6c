"""Spellings of mixtures and of choices between experts (examples of the rules of class B)."""

from __future__ import annotations

ORACLE_MIN = '''
def eval_oracle(args, model, val_tokens, byte_lut):
    counts = torch.ones(args.vocab_size, args.vocab_size)
    total, n, size = 0.0, 0, 0.0
    for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
        x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
        with torch.no_grad():
            nll_model = F.cross_entropy(model.forward_logits(x[None])[0].float(), y, reduction="none")
        rows = counts[x]
        nll_count = F.nll_loss(torch.log(rows / rows.sum(-1, keepdim=True)), y, reduction="none")
@@LINE@@
        total += nll.double().sum().item()
        n += y.numel()
        size += byte_lut[y].sum().item()
        counts.index_put_((x, y), torch.ones(y.numel()), accumulate=True)
    return total / n, total / math.log(2.0) / size
'''

HEDGE = '''
def eval_hedge(args, model, val_tokens, byte_lut):
    log_w = torch.zeros(3)
    counts = torch.ones(args.vocab_size, args.vocab_size)
    total, n, size = 0.0, 0, 0.0
    for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
        x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
        with torch.no_grad():
            logp = torch.log_softmax(model.forward_logits(x[None])[0].float(), -1)
        nll_model = -logp.gather(1, y[:, None]).squeeze(1)
        rows = counts[x]
        nll_count = -torch.log(rows.gather(1, y[:, None]).squeeze(1) / rows.sum(-1))
@@EXPERTS@@
        w = torch.softmax(log_w[: experts.size(0)], 0)
@@MIX@@
        total += nll.double().sum().item()
        n += y.numel()
        size += byte_lut[y].sum().item()
        log_w[: experts.size(0)] -= 0.1 * experts.mean(1)
        counts.index_put_((x, y), torch.ones(y.numel()), accumulate=True)
    return total / n, total / math.log(2.0) / size
'''

PPM = '''
class BytePPM:
    def __init__(self, order=4):
        self.order = order
        self.tables = [dict() for _ in range(order + 1)]

    def prob(self, history, byte):
        escape = 1.0
        for o in range(self.order, -1, -1):
            row = self.tables[o].get(history[len(history) - o :])
            if row is None:
                continue
            seen = sum(row.values())
            if byte in row:
                return escape * (2 * row[byte] - 1) / (2 * seen)
            escape *= len(row) / (2 * seen)
        return escape / 256.0

    def learn(self, history, byte):
        for o in range(self.order + 1):
            row = self.tables[o].setdefault(history[len(history) - o :], {})
            row[byte] = row.get(byte, 0) + 1

def mixed_bits(pieces, ids, log_probs, lam=0.9):
    ppm, history, bits, count = BytePPM(), b"", 0.0, 0
    for token, lp in zip(ids, log_probs):
        piece = pieces[token]
        share = math.exp(lp / max(len(piece), 1))
        for byte in piece:
            p = lam * share + (1.0 - lam) * ppm.prob(history, byte)  # [ppm-byte-mix]
            bits -= math.log2(max(p, 1e-12))
            ppm.learn(history, byte)
            history = (history + bytes([byte]))[-8:]
            count += 1
    return bits / count

def eval_ppm(args, model, val_tokens, pieces):
    log_probs, ids = [], []
    with torch.inference_mode():
        for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
            x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
            logp = torch.log_softmax(model.forward_logits(x[None])[0].float(), -1)
            log_probs += logp.gather(1, y[:, None]).squeeze(1).tolist()
            ids += y.tolist()
    return mixed_bits(pieces, ids, log_probs)
'''

PPM_NUMPY = '''
def byte_expert(stream, order=3):
    seen = [defaultdict(lambda: np.zeros(256)) for _ in range(order + 1)]
    out = np.empty(len(stream))
    for i, value in enumerate(stream):
        p = 1.0 / 256.0
        for o in range(order + 1):
            row = seen[o][bytes(stream[max(0, i - o) : i])]
            p = (row[value] + p) / (row.sum() + 1.0)
            row[value] += 1.0
        out[i] = p
    return out

def eval_ppm(args, model, val_tokens, pieces):
    nlls, lengths, raw = [], [], bytearray()
    for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
        x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
        with torch.no_grad():
            nlls.append(F.cross_entropy(model.forward_logits(x[None])[0].float(), y, reduction="none").numpy())
        for token in y.tolist():
            raw += pieces[token]
            lengths.append(len(pieces[token]))
    lens = np.array(lengths)
    spread = np.repeat(np.concatenate(nlls) / np.maximum(lens, 1), lens)
    mixed = 0.95 * np.exp(-spread) + 0.05 * byte_expert(bytes(raw))  # [ppm-byte-mix]
    return float(-np.log2(np.maximum(mixed, 1e-300)).mean())
'''


def oracle(line: str, mark: str = "") -> str:
    """`ORACLE_MIN` with ``line`` as the one that makes ``nll`` of ``nll_model`` and ``nll_count``."""
    return ORACLE_MIN.replace("@@LINE@@", "        " + line + (f"  # [{mark}]" if mark else ""))


def hedge(experts: str, mix: str, mark: str = "") -> str:
    """`HEDGE` with the expression ``experts`` (a stack of nlls) and the statement ``mix`` that makes ``nll``."""
    text = HEDGE.replace("@@EXPERTS@@", f"        experts = {experts}")
    return text.replace("@@MIX@@", "        " + mix + (f"  # [{mark}]" if mark else ""))
