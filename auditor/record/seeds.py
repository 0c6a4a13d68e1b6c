"""Seeds: which were run, are they distinct runs of one configuration?"""

from __future__ import annotations

import itertools
from collections import defaultdict

from auditor.core.submission import Submission
from auditor.core.types import Place
from auditor.record.facts import Run, SeedFacts
from auditor.record.stated import Claims

_CONFIG = frozenset({
    "num_layers", "model_dim", "num_heads", "num_kv_heads", "mlp_mult", "vocab_size", "train_batch_tokens",
    "train_seq_len", "eval_seq_len", "eval_stride", "iterations", "matrix_lr", "scalar_lr", "embed_lr",
    "tied_embed_lr", "muon_wd", "adam_wd", "embed_wd", "warmdown_frac", "warmdown_iters", "muon_momentum",
    "ema_decay", "qk_gain_init", "rope_dims", "xsa_last_n", "num_loops", "loop_start", "loop_end",
    "matrix_bits", "embed_bits", "matrix_clip_sigmas", "embed_clip_sigmas", "ttt_enabled", "ttt_lr",
    "ttt_epochs", "ttt_chunk_tokens", "ttt_lora_rank", "ttt_lora_lr", "compressor", "phased_ttt_num_phases",
    "phased_ttt_prefix_docs", "smear_gate_enabled", "lqer_enabled", "gated_attn_enabled",
    "max_wallclock_seconds", "gptq_reserve_seconds", "min_lr", "logit_softcap", "beta2", "grad_clip_norm",
    "world_size",
})
"""Settings that make the configuration: a difference in these between seeds is another configuration."""


def seed_facts(submission: Submission, runs: tuple[Run, ...], scored: tuple[str, ...], claims: Claims) -> SeedFacts:
    """Seeds stated and logged. ``scored``: names of runs that give the headline's kind of score."""
    with_score = [run for run in runs if run.name in scored]
    logged = [s for run in with_score if (s := run.seed) is not None]
    duplicates = tuple(_duplicates(with_score or list(runs)))
    stated = claims.seeds
    distinct = len(set(logged)) + sum(1 for run in with_score if run.seed is None)
    distinct -= len({d[1] for d in duplicates if d[2].startswith("identical")})
    return SeedFacts(
        stated=stated,
        logged=tuple(dict.fromkeys(logged)),
        runs_with_score=len(with_score),
        duplicates=duplicates,
        config_differs=tuple(_differs(with_score)),
        count=max(distinct, 0),
        where=", ".join(run.name for run in with_score[:6]),
    )


def _duplicates(runs: list[Run]) -> list[tuple[str, str, str, Place]]:
    """Pairs of runs of different logs and seeds that are the same run."""
    found = []
    for a, b in itertools.combinations(runs, 2):
        if a.log == b.log or (a.seed is not None and a.seed == b.seed):
            continue
        reason = _same_run(a, b)
        if reason is not None:
            place = b.steps[0].at if b.steps else Place(log=b.log, line=b.first_line)
            found.append((a.name, b.name, reason, place))
    return found


def _same_run(a: Run, b: Run) -> str | None:
    losses_a = {s.step: (s.train_loss, s.train_seconds) for s in a.steps if s.train_loss == s.train_loss and s.step > 1}
    losses_b = {s.step: (s.train_loss, s.train_seconds) for s in b.steps if s.train_loss == s.train_loss and s.step > 1}
    common = sorted(losses_a.keys() & losses_b.keys())
    if len(common) >= 4:
        equal = [s for s in common if losses_a[s][0] == losses_b[s][0]]
        if len(equal) == len(common):
            return f"identical training losses at all {len(common)} common steps"
    scores_a = [(e.step, e.val_bpb.value) for e in a.evaluations if e.val_bpb and (e.val_bpb.digits or 0) >= 6]
    scores_b = [(e.step, e.val_bpb.value) for e in b.evaluations if e.val_bpb and (e.val_bpb.digits or 0) >= 6]
    if len(scores_a) >= 2 and scores_a == scores_b:
        return f"identical scores at all {len(scores_a)} evaluations, to six decimals or more"
    if a.run_id and a.run_id == b.run_id and a.run_id not in ("None", "") and _uuid(a.run_id):
        return f"one run id for both ({a.run_id})"
    return None


def _uuid(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4


def _differs(runs: list[Run]) -> list[tuple[str, tuple[str, ...], Place]]:
    """Configuration settings that take several values over the runs of the headline."""
    values: dict[str, dict[str, Place]] = defaultdict(dict)
    for run in runs:
        for name, (value, at) in run.settings.items():
            if name in _CONFIG:
                values[name].setdefault(value.strip(), at)
    return [(name, tuple(found), list(found.values())[-1]) for name, found in values.items() if len(found) > 1]
