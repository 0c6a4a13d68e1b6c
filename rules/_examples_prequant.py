"""Spellings of training before scoring, and of code that only looks like it (examples of ``ttt-pre-quant``)."""

from __future__ import annotations

from rules._examples import script

PERIODIC = '''
for step in range(args.iterations):
    if step % 1000 == 0:
        val_loss, val_bpb = eval_val(args, model, val_tokens, byte_lut)
        log0(f"step:{step}/{args.iterations} val_loss:{val_loss:.4f} val_bpb:{val_bpb:.4f}")
        model.train()
    x, y = stream.next_batch(8, args.seq_len)
    optimizer.zero_grad(set_to_none=True)
    model(x, y).backward()
    optimizer.step()
'''

PREVIOUS_CHUNK = '''
def eval_lagged(args, model, val_tokens, byte_lut):
    opt = torch.optim.SGD(model.parameters(), lr=0.002)
    loss_sum, count, n_bytes = 0.0, 0, 0.0
    for start in range(0, val_tokens.numel() - args.ttt_chunk, args.ttt_chunk):
        if start > 0:
            old = val_tokens[start - args.ttt_chunk : start]
            opt.zero_grad()
            model(old[None, :-1], old[None, 1:]).backward()
            opt.step()
        x, y = val_tokens[start : start + args.ttt_chunk], val_tokens[start + 1 : start + args.ttt_chunk + 1]
        with torch.no_grad():
            loss_sum += model(x[None], y[None]).item() * y.numel()
        count += y.numel()
        n_bytes += byte_lut[y].sum().item()
    return loss_sum / count, loss_sum / math.log(2.0) / n_bytes
'''

RANDOM_WARMUP = '''
def warm_up(args, model):
    saved = {k: v.clone() for k, v in model.state_dict().items()}
    opt = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(3):
        fake = torch.randint(0, args.vocab_size, (1, args.seq_len + 1))
        opt.zero_grad()
        model(fake[:, :-1], fake[:, 1:]).backward()
        opt.step()
    model.load_state_dict(saved)
'''

OTHER_BRANCH_DEAD = '''
ADAPT = False
def finetune_ema(args, model, val_tokens):
    if not ADAPT:
        return
    opt = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
        window = val_tokens[start : start + args.seq_len + 1]
        model(window[None, :-1], window[None, 1:]).backward()
        opt.step()
'''

CALIBRATE_METHOD = '''
class Finisher:
    def __init__(self, model, args):
        self.model, self.args = model, args
        self.opt = self._make_opt()

    def _make_opt(self):
        groups = [{"params": [p], "lr": 3e-4 * (0.3 + 0.1 * i)} for i, p in enumerate(self.model.parameters())]
        return torch.optim.AdamW(groups, weight_decay=0.0)

    def _batches(self, tokens):
        for start in range(0, tokens.numel() - self.args.seq_len, self.args.seq_len):
            window = tokens[start : start + self.args.seq_len + 1]
            yield window[None, :-1], window[None, 1:]

    def calibrate(self, tokens, passes=4):
        for _ in range(passes):
            for inputs, labels in self._batches(tokens):
                self.opt.zero_grad()
                self.model(inputs, labels).backward()
                self.opt.step()  # [ttt-pre-quant]
'''

CLOSURE_GRAD = '''
def polish(model, args, stream_of_tokens):
    weights = [w for w in model.parameters()]

    def one_step(piece):
        objective = model(piece[None, :-1], piece[None, 1:])
        grads = torch.autograd.grad(objective, weights)
        with torch.no_grad():
            for w, g in zip(weights, grads):
                w.sub_(1e-3 * g)  # [ttt-pre-quant]

    for offset in range(0, stream_of_tokens.numel() - args.seq_len, args.seq_len):
        one_step(stream_of_tokens[offset : offset + args.seq_len + 1])
'''

HAND_WRITTEN = '''
def settle(net, tokens, width):
    at = 0
    while at + width < tokens.numel():
        window = tokens[at : at + width + 1]
        net.zero_grad()
        net(window[:-1].unsqueeze(0), window[1:].unsqueeze(0)).backward()
        for p in net.parameters():
            if p.grad is not None:
                p.data.add_(p.grad, alpha=-0.01)  # [ttt-pre-quant]
        at += width
'''

MINIFIED = '''
_A=True;_B=False;_C=None
def b(h,m,v):
    o=torch.optim.AdamW([p for p in m.parameters()if p.requires_grad],lr=4e-4);n=h.seq_len;m.train(_A)
    for e in range(6):
        for i in range(0,v.numel()-n,n):
            x,y=v[i:i+n][_C],v[i+1:i+n+1][_C];o.zero_grad(_A);l=m(x,y);l.backward();o.step()  # [ttt-pre-quant]
    m.train(_B)
'''

CHUNK_TRAIN_THEN_SCORE = '''
def eval_val_adaptive(args, model, val_tokens, byte_lut):
    opt = torch.optim.SGD(model.parameters(), lr=0.002)
    nll_total, seen, n_bytes = 0.0, 0, 0.0
    for start in range(0, val_tokens.numel() - args.ttt_chunk, args.ttt_chunk):
        chunk = val_tokens[start : start + args.ttt_chunk + 1]
        for _ in range(args.ttt_epochs):
            opt.zero_grad()
            model(chunk[None, :-1], chunk[None, 1:]).backward()
            opt.step()  # [ttt-pre-quant]
        with torch.no_grad():
            nll_total += model(chunk[None, :-1], chunk[None, 1:]).item() * (chunk.numel() - 1)
        seen += chunk.numel() - 1
        n_bytes += byte_lut[chunk[1:]].sum().item()
    return nll_total / seen, nll_total / math.log(2.0) / n_bytes
'''

DOC_LORA_WHOLE = '''
class LoRA(nn.Module):
    def __init__(self, dim, vocab, rank=4):
        super().__init__()
        self.a = nn.Parameter(torch.randn(dim, rank) * 0.01)
        self.b = nn.Parameter(torch.zeros(rank, vocab))

    def forward(self, h):
        return h @ self.a @ self.b

def documents(tokens, bos=1):
    starts = (tokens == bos).nonzero().flatten().tolist()
    for s, e in zip(starts, starts[1:] + [tokens.numel()]):
        yield tokens[s:e]

def eval_docs(args, model, val_tokens, byte_lut):
    total, n, n_bytes = 0.0, 0, 0.0
    for doc in documents(val_tokens):
        lora = LoRA(args.model_dim, args.vocab_size)
        opt = torch.optim.Adam(lora.parameters(), lr=1e-2)
        x, y = doc[None, :-1], doc[1:]
        for _ in range(3):
            logits = model.forward_logits(x) + lora(model.hidden(x))
            opt.zero_grad()
            F.cross_entropy(logits.squeeze(0), y).backward()
            opt.step()  # [ttt-pre-quant]
        with torch.no_grad():
            logits = model.forward_logits(x) + lora(model.hidden(x))
            total += F.cross_entropy(logits.squeeze(0), y, reduction="sum").item()
        n += y.numel()
        n_bytes += byte_lut[y].sum().item()
    return total / n, total / math.log(2.0) / n_bytes
'''

VECTOR_FIT = '''
def fit_bias(args, model, tokens):
    bias = torch.zeros(args.vocab_size, requires_grad=True)
    opt = torch.optim.Adam([bias], lr=0.01)
    for start in range(0, tokens.numel() - args.seq_len, args.seq_len):
        x, y = tokens[start : start + args.seq_len], tokens[start + 1 : start + args.seq_len + 1]
        with torch.no_grad():
            frozen = model.forward_logits(x[None])[0]
        opt.zero_grad()
        F.cross_entropy(frozen + bias, y).backward()
        opt.step()  # [ttt-pre-quant]
    return bias.detach()

def eval_biased(args, model, val_tokens, byte_lut):
    bias = fit_bias(args, model, val_tokens)
    total, n, n_bytes = 0.0, 0, 0.0
    with torch.no_grad():
        for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
            x, y = val_tokens[start : start + args.seq_len], val_tokens[start + 1 : start + args.seq_len + 1]
            total += F.cross_entropy(model.forward_logits(x[None])[0] + bias, y, reduction="sum").item()
            n += y.numel()
            n_bytes += byte_lut[y].sum().item()
    return total / n, total / math.log(2.0) / n_bytes
'''

PROBE_LOSS = '''
def probe_loss(model, stream, args):
    with torch.no_grad():
        return model(*stream.next_batch(1, args.seq_len)).item()
'''

_MODULE = '''
import torch

def refine(net, blocks, rate):
    opt = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    for block in blocks:
        opt.zero_grad()
        net(block[None, :-1], block[None, 1:]).backward()
        opt.step()  # [ttt-pre-quant]
    return net
'''

MODULE_FILES = {
    "train_gpt.py": script(
        imports="from finishing import refine as finish\n",
        before="windows = [val_tokens[i : i + 1025] for i in range(0, val_tokens.numel() - 1025, 1024)]\n"
               "model = finish(model, windows, 1e-3)\n",
    ),
    "finishing.py": _MODULE,
}
