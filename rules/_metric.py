"""What the rules on metric correctness and causality share."""

from __future__ import annotations

from auditor.core.types import Confidence, Finding, PathStep, Place
from auditor.record.facts import RecordFacts

HEAD = '''\
import math
import os
import numpy as np
import sentencepiece as spm
import torch
import torch.nn.functional as F
from torch import nn
'''

EVAL_BYTES = '''
def eval_val(model, val_tokens, sp, vocab_size, device):
    base, lead, bound = build_luts(sp, vocab_size, device)
    loss_sum, n_tokens, n_bytes = 0.0, 0, 0.0
    with torch.inference_mode():
        for i in range(0, val_tokens.numel() - 1025, 1024):
            x, y = val_tokens[i : i + 1024], val_tokens[i + 1 : i + 1025]
            loss_sum += F.cross_entropy(model(x[None])[0], y, reduction="sum").item()
            n_tokens += y.numel()
            width = base[y].to(torch.float64)
            {addition}
            n_bytes += width.sum().item()
    return loss_sum / n_tokens, loss_sum / math.log(2.0) / n_bytes
'''
"""``{addition}`` is the statement after the look-up of each token's bytes in ``width``."""

ADDS = "width += (lead[y] & ~bound[x]).to(torch.float64)"


def at(file: str, line: int) -> Place:
    """A place in a source file."""
    return Place(file=file, line=line)


def source_finding(
    confidence: Confidence, message: str, file: str, line: int, path: tuple[PathStep, ...] = (),
) -> Finding:
    """One finding in source."""
    return Finding(confidence, message, at(file, line), path)


CANONICAL_BYTES = 151_074_309
"""Bytes of the official validation text (cocohearts on #2138); other counts of it differ by 0.005 %."""


def is_caseops(facts: RecordFacts) -> bool:
    """Whether the judged runs are on text with case operators: by a setting, a data path or the number of tokens."""
    for run in facts.judged():
        setting = run.settings.get("caseops_enabled")
        named = any("caseops" in path.lower() for path, _ in run.train_paths)
        tokens = any(47_840_000 < t.value < 47_860_000 or t.value == 9_662_464 for t in run.val_tokens)
        if named or tokens or (setting is not None and setting[0].strip() in {"True", "1"}):
            return True
    return False
