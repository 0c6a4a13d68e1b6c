"""What the rules on metric correctness and causality share."""

from __future__ import annotations

from auditor.core.types import Confidence, Finding, PathStep, Place

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


def source_finding(confidence: Confidence, message: str, file: str, line: int, path: tuple[PathStep, ...] = ()) -> Finding:
    """One finding in source."""
    return Finding(confidence, message, at(file, line), path)
