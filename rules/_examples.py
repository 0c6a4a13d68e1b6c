'''Building blocks for the examples of the rules: a small training script in the competition's form.

The scripts are our own, are never executed by tests, and differ in spelling on purpose: helpers, methods, closures,
minified lines, modules beside the script, loops of all kinds.

Which line must be reported (marked ``# [rule-id]`` at its end):

- order rules (training, tables, calibration): the line that changes the state: ``optimizer.step()``, the in-place
  write, the table update, the accumulation of a Hessian;
- look-up rules: the line that reads the table under the target's key;
- mixes and minima: the line that combines;
- reads: the line that calls the loader (``stream.next_batch(...)``, ``load_data_shard(...)``), not the lines inside the
  loader; external calls: the line of the call.

For legal patterns INVALID holds the scripts in which the pattern must be recognised, VALID those in which it must not.
'''

from __future__ import annotations

import textwrap

_HEAD = '''\
import glob
import io
import lzma
import math
import os
import time
from collections import Counter, defaultdict
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

class Hyperparameters:
    data_path = os.environ.get("DATA_PATH", "./data/datasets/fineweb10B_sp1024")
    train_files = os.path.join(data_path, "fineweb_train_*.bin")
    val_files = os.path.join(data_path, "fineweb_val_*.bin")
    seed = int(os.environ.get("SEED", 1337))
    iterations = int(os.environ.get("ITERATIONS", 20000))
    seq_len = int(os.environ.get("TRAIN_SEQ_LEN", 1024))
    vocab_size = int(os.environ.get("VOCAB_SIZE", 1024))
    model_dim = int(os.environ.get("MODEL_DIM", 512))
    max_wallclock_seconds = float(os.environ.get("MAX_WALLCLOCK_SECONDS", 600.0))
'''

_DATA = '''
def load_data_shard(path):
    header = np.fromfile(path, dtype="<i4", count=256)
    tokens = np.fromfile(path, dtype="<u2", count=int(header[2]), offset=1024)
    return torch.from_numpy(tokens.astype(np.int64))

def load_validation_tokens(pattern, seq_len):
    tokens = torch.cat([load_data_shard(p) for p in sorted(glob.glob(pattern))])
    return tokens[: ((tokens.numel() - 1) // seq_len) * seq_len + 1]

class TokenStream:
    def __init__(self, pattern):
        self.files = sorted(glob.glob(pattern))
        self.index, self.pos = 0, 0
        self.tokens = load_data_shard(self.files[0])

    def next_batch(self, batch, seq_len):
        need = batch * seq_len + 1
        if self.pos + need > self.tokens.numel():
            self.index, self.pos = (self.index + 1) % len(self.files), 0
            self.tokens = load_data_shard(self.files[self.index])
        chunk = self.tokens[self.pos : self.pos + need]
        self.pos += need - 1
        return chunk[:-1].reshape(batch, seq_len), chunk[1:].reshape(batch, seq_len)
'''

_MODEL = '''
class GPT(nn.Module):
    def __init__(self, vocab_size, dim):
        super().__init__()
        self.tok_emb = nn.Embedding(vocab_size, dim)
        self.rnn = nn.GRU(dim, dim, batch_first=True)
        self.lm_head = nn.Linear(dim, vocab_size, bias=False)

    def hidden(self, input_ids):
        return self.rnn(self.tok_emb(input_ids))[0]

    def forward_logits(self, input_ids):
        return 30.0 * torch.tanh(self.lm_head(self.hidden(input_ids)) / 30.0)

    def forward(self, input_ids, target_ids):
        logits = self.forward_logits(input_ids)
        return F.cross_entropy(logits.reshape(-1, logits.size(-1)).float(), target_ids.reshape(-1))

def byte_table(args):
    return torch.from_numpy(np.load("token_bytes.npy")).double()

def eval_val(args, model, val_tokens, byte_lut):
    loss_sum, tokens, n_bytes = 0.0, 0, 0.0
    model.eval()
    with torch.inference_mode():
        for start in range(0, val_tokens.numel() - 1, args.seq_len):
            x = val_tokens[start : start + args.seq_len][None]
            y = val_tokens[start + 1 : start + args.seq_len + 1][None]
            loss_sum += model(x, y).item() * y.numel()
            tokens += y.numel()
            n_bytes += byte_lut[y].sum().item()
    val_loss = loss_sum / tokens
    return val_loss, val_loss / math.log(2.0) * tokens / n_bytes

def quantize(state, hessians=None):
    out = {}
    for name, t in state.items():
        scale = t.abs().amax().clamp_min(1e-8) / 127.0
        if hessians is not None and name in hessians:
            scale = scale * (1.0 - 1e-3 * torch.tanh(hessians[name].diagonal().mean()))
        out[name] = (torch.round(t / scale).to(torch.int8), scale)
    buf = io.BytesIO()
    torch.save(out, buf)
    return lzma.compress(buf.getvalue())

def dequantize(blob):
    state = torch.load(io.BytesIO(lzma.decompress(blob)))
    return {name: q.float() * scale for name, (q, scale) in state.items()}
'''

_MAIN = '''
def main():
    args = Hyperparameters()
    torch.manual_seed(args.seed)

    def log0(msg):
        print(msg, flush=True)

    val_tokens = load_validation_tokens(args.val_files, args.seq_len)
    byte_lut = byte_table(args)
    stream = TokenStream(args.train_files)
    model = GPT(args.vocab_size, args.model_dim)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    t0 = time.perf_counter()
@@TRAIN@@
    log0(f"train_time:{1000.0 * (time.perf_counter() - t0):.0f}ms")
@@BEFORE@@
    with open("final_model.int8.ptz", "wb") as f:
        f.write(quantize(model.state_dict(), @@HESSIANS@@))
    with open("final_model.int8.ptz", "rb") as f:
        model.load_state_dict(dequantize(f.read()))
@@AFTER@@

if __name__ == "__main__":
    main()
'''

TRAIN = '''\
for step in range(args.iterations):
    x, y = stream.next_batch(8, args.seq_len)
    optimizer.zero_grad(set_to_none=True)
    loss = model(x, y)
    loss.backward()
    optimizer.step()
    if step % 1000 == 0:
        log0(f"step:{step}/{args.iterations} train_loss:{loss.item():.4f}")
    if time.perf_counter() - t0 > args.max_wallclock_seconds:
        break
'''

EVALUATE = '''\
val_loss, val_bpb = eval_val(args, model, val_tokens, byte_lut)
log0(f"final_int8_zlib_roundtrip_exact val_loss:{val_loss:.8f} val_bpb:{val_bpb:.8f}")
'''


def script(
    defs: str = "", *, flags: str = "", before: str = "", after: str = EVALUATE, train: str = TRAIN,
    hessians: str = "None", imports: str = "",
) -> str:
    """A whole training script.

    ``flags`` are lines of the class ``Hyperparameters``, ``defs`` top-level definitions, ``train`` the training
    loop, ``before`` statements between training and quantisation, ``hessians`` the expression handed to the
    quantiser, ``after`` statements after the artifact was loaded. All are dedented first. In ``main`` the names
    ``args``, ``log0``, ``val_tokens``, ``byte_lut``, ``stream``, ``model``, ``optimizer`` and ``t0`` are bound.
    """
    body = _MAIN
    for name, text in (("TRAIN", train), ("BEFORE", before), ("AFTER", after)):
        body = body.replace(f"@@{name}@@\n", _indent(text))
    body = body.replace("@@HESSIANS@@", hessians)
    return textwrap.dedent(imports) + _HEAD + _indent(flags) + _DATA + _MODEL + "\n" + textwrap.dedent(defs) + body


def _indent(text: str) -> str:
    lines = textwrap.indent(textwrap.dedent(text), "    ")
    return lines if lines.endswith("\n") or not lines else lines + "\n"


def scored(call: str, label: str = "final_ttt_exact") -> str:
    """Statements that evaluate by ``call`` (gives val_loss, val_bpb) and print the result under ``label``."""
    return (
        f"val_loss, val_bpb = {call}\n"
        f'log0(f"{label} val_loss:{{val_loss:.8f}} val_bpb:{{val_bpb:.8f}}")\n'
    )


PREQUANT = '''
def ttt_adapt(args, model, val_tokens, log0):
    params = [p for p in model.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=5e-4)
    model.train()
    for epoch in range(args.ttt_epochs):
        for start in range(0, val_tokens.numel() - args.seq_len, args.seq_len):
            x = val_tokens[start : start + args.seq_len][None]
            y = val_tokens[start + 1 : start + args.seq_len + 1][None]
            opt.zero_grad(set_to_none=True)
            loss = model(x, y)
            loss.backward()
            opt.step()@@MARK@@
        log0(f"ttt:epoch {epoch + 1}/{args.ttt_epochs} loss:{loss.item():.4f}")
    model.eval()
'''
"""Adaptation over all validation tokens; needs the flag ``ttt_epochs``. ``prequant(id)`` marks its line."""


def prequant(mark: str = "") -> str:
    """`PREQUANT`, its violating line marked with ``mark`` when that is a rule's id."""
    return PREQUANT.replace("@@MARK@@", f"  # [{mark}]" if mark else "")


SCORE_FIRST = '''
def eval_val_ttt(args, model, val_tokens, byte_lut, log0):
    opt = torch.optim.SGD(model.parameters(), lr=0.002, momentum=0.9)
    total = val_tokens.numel() - 1
    num_chunks = (total + args.ttt_chunk - 1) // args.ttt_chunk
    loss_sum = torch.zeros((), dtype=torch.float64)
    token_count, byte_count = 0.0, 0.0
    for ci in range(num_chunks):
        start, end = ci * args.ttt_chunk, min((ci + 1) * args.ttt_chunk, total)
        x_chunk, y_chunk = val_tokens[start:end], val_tokens[start + 1 : end + 1]
        model.eval()
        with torch.inference_mode():
            for bi in range(0, end - start, args.seq_len):
                xb, yb = x_chunk[bi : bi + args.seq_len], y_chunk[bi : bi + args.seq_len]
                logits = model.forward_logits(xb[None])
                nll = F.cross_entropy(logits.reshape(-1, logits.size(-1)).float(), yb, reduction="none")
                loss_sum += nll.to(torch.float64).sum()
                token_count += float(yb.numel())
                byte_count += byte_lut[yb].sum().item()
        is_last_chunk = ci == num_chunks - 1
        if not is_last_chunk and args.ttt_epochs > 0:
            model.train()
            for _ep in range(args.ttt_epochs):
                for bi in range(0, end - start, args.seq_len):
                    xb, yb = x_chunk[bi : bi + args.seq_len], y_chunk[bi : bi + args.seq_len]
                    opt.zero_grad(set_to_none=True)
                    loss = model(xb[None], yb[None])
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    opt.step()@@MARK@@
        if ci % 10 == 0:
            log0(f"  ttt_chunk [{ci + 1}/{num_chunks}] bpb={loss_sum.item() / max(token_count, 1.0):.6f}")
    val_loss = (loss_sum / token_count).item()
    return val_loss, val_loss / math.log(2.0) * (token_count / byte_count)
'''
"""Score-first adaptation by chunks; needs the flags ``ttt_epochs`` and ``ttt_chunk``."""


def score_first(mark: str = "") -> str:
    """`SCORE_FIRST`, its update marked with ``mark`` when that is a rule's id."""
    return SCORE_FIRST.replace("@@MARK@@", f"  # [{mark}]" if mark else "")


TTT_FLAGS = '''\
ttt_enabled = bool(int(os.environ.get("TTT_ENABLED", "1")))
ttt_epochs = int(os.environ.get("TTT_EPOCHS", 3))
ttt_chunk = int(os.environ.get("TTT_CHUNK_TOKENS", 32768))
'''


def logged(label: str = "final_int8_zlib_roundtrip_exact", *, before: str = "") -> dict[str, str]:
    """A log of seed 42 and a ``submission.json`` that states its last score, printed under ``label``.

    ``before`` are lines between the end of training and quantisation; the score is line 6 + their number.
    """
    lines = [
        "train_loader:dataset:fineweb10B_sp1024 train_shards:80",
        "seed:42",
        "step:6000/20000 train_loss:2.1000 train_time:514286ms step_avg:85.71ms",
        "stopping_early: wallclock_cap train_time:599990ms step:7000/20000",
        *before.splitlines(),
        "Total submission size int8+zlib: 15050000 bytes",
        f"{label} val_loss:1.91000000 val_bpb:1.13120000",
    ]
    return {
        "train_seed42.log": "\n".join(lines) + "\n",
        "submission.json": '{"name": "example", "val_loss": 1.91, "val_bpb": 1.1312, "bytes_total": 15050000}\n',
    }


PLAIN_RUN = "# Run\n\n```bash\ntorchrun --standalone --nproc_per_node=8 train_gpt.py\n```\n"
"""A README whose command sets nothing: the script's own defaults were in force."""
