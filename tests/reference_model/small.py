"""A run small enough for a test: a folder of byte tokens, and presets of three narrow layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reference_model.config import Preset, load_preset
from reference_model.data.folder import DataFolder
from reference_model.data.shards import write_shard
from reference_model.data.tokens import ByteTable

VOCAB = 256
SEQUENCE = 32


@dataclass(frozen=True, slots=True)
class ByteFolder(DataFolder):
    """Shards whose tokens are bytes; no tokenizer."""

    def byte_table(self) -> ByteTable:
        none = torch.zeros(self.vocab_size, dtype=torch.bool)
        return ByteTable(torch.ones(self.vocab_size, dtype=torch.int64), none, none)


def folder_of(root: Path, train: NDArray[np.integer], val: NDArray[np.integer]) -> ByteFolder:
    """``root`` with one shard of each."""
    paths = root / "small_train_000000.bin", root / "small_val_000000.bin"
    for path, tokens in zip(paths, (train, val), strict=True):
        write_shard(path, tokens)
    return ByteFolder(root, (paths[0],), (paths[1],), root / "bytes.model", VOCAB)


def pattern(count: int, seed: int) -> NDArray[np.int64]:
    """Tokens of a walk: the next is one or two more than the last, now and then anywhere. Integers alone decide it."""
    draws = np.random.Generator(np.random.PCG64(seed))
    steps, jumps = draws.integers(1, 3, count), draws.integers(0, VOCAB, count)
    steps = np.where(draws.integers(0, 16, count) == 0, jumps, steps)
    return np.asarray(np.cumsum(steps) % VOCAB)


def pattern_folder(root: Path) -> ByteFolder:
    """The walk, for what must be the same on every machine."""
    return folder_of(root, pattern(8192, seed=1), pattern(1025, seed=2))


def text_folder(root: Path) -> ByteFolder:
    """Bytes of the language reference that comes with Python."""
    from pydoc_data.topics import topics

    text = np.frombuffer("\n".join(topics[name] for name in sorted(topics)).encode(), dtype=np.uint8)
    return folder_of(root, text[:60_000], text[60_000:61_025])


def small(name: str, *, steps: int = 50, micro_steps: int = 1, batch: int = 8) -> Preset:
    """The preset ``name`` with three layers of width 32 and batches of ``batch`` sequences of 32 tokens."""
    preset = load_preset(name)
    model = replace(
        preset.model, vocab_size=VOCAB, num_layers=3, model_dim=32, num_heads=2, num_kv_heads=1, mlp_hidden=64,
        rope_dims=8 if preset.model.rope_dims else 0, bigram_buckets=64 if preset.model.bigram_buckets else 0,
        bigram_dim=8, ve_dim=8, ve_layers=(2,) if preset.model.ve_layers else (), xsa_last_n=1,
        rope_train_seq_len=SEQUENCE if preset.model.rope_train_seq_len else 0,
        recur_layers=(1, 2) if preset.model.recur_layers else (),
    )  # fmt: skip
    train = replace(
        preset.train, iterations=steps, warmup_steps=0, warmdown_iters=steps // 2, max_wallclock_seconds=0.0,
        train_batch_tokens=batch * SEQUENCE, train_seq_len=SEQUENCE, micro_steps=micro_steps, val_loss_every=0,
        train_log_every=10, ema_decay=min(preset.train.ema_decay, 0.9), swa_every=0,
        late_qat_threshold=0.3 if preset.train.late_qat_threshold else 0.0,
    )  # fmt: skip
    optim = replace(preset.optim, muon_momentum_warmup_steps=20)
    ev = replace(preset.eval, seq_len=SEQUENCE, stride=SEQUENCE)
    return replace(preset, model=model, train=train, optim=optim, eval=ev)
