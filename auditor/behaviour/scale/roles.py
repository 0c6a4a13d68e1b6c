"""What a knob is for, told from the words of its name and the magnitude of its value."""

from __future__ import annotations

import re

_W = r"(?:^|_)"
_E = r"(?:_|$)"


def _words(*alternatives: str) -> str:
    return _W + "(?:" + "|".join(alternatives) + ")" + _E


_FLAGS = _words(
    "enabled?", "use", "skip", "disable", "flag", "mode", "is", "has", "do", "debug", "strict", "only", "verbose",
)
_VALUES = _words(
    "lr", "decay", "wd", "momentum", r"beta\d?", "eps", "epsilon", "alpha", "gamma", "lambda", "tau", "temp",
    "temperature", "frac", "fraction", "ratio", "threshold", "thresh", "scale", "init", "std", "gain", "seed",
    "softcap", "clip", "sigmas?", "percentile", "pct", "prob", "weights?", "power", r"damp\w*", "sparsity", "level",
    "timeout", "port", "bias", "slope", "base", "coeffs?", "penalty", "margin", "confidence", "discount",
    "bonus", "boost", "eta", "factor", "mult", "smoothing", "patience", "cap", "version", "magic", "header",
)  # fmt: skip
_INNER = _words(
    "ttt", "slot", "etlb", "lbfgs", "inner", "adapt", "sgd", "tta", "refine", "eggroll", "newton", "search", "lora",
    "distill", "burst", "online", "meta", "eval", "test",
)
_NGRAM = r"(?:bigram|trigram|fourgram|[n\d]gram|ngram|hash|cache|table|bucket|ctx|context|skip\w*|engram|ppm|hedge)"

_TABLE: tuple[tuple[str, str], ...] = (
    ("mlp_ratio", r"^(?:mlp|ffn?|ff|expert)_(?:mult|multiplier|ratio|expansion)$"),
    ("local", r"^(?:local_)?rank$|^world_size$|^local_world_size$"),
    ("reserve", _words("reserved?", "finali[sz]e", "headroom") + ".*(?:seconds|secs?|ms)$"),
    ("wallclock", r"^(?:max_)?(?:train(?:ing)?_)?wall_?clock(?:_(?:seconds|secs?|s|limit|cap|budget))*$"
                  r"|^max_(?:train(?:ing)?_)?(?:seconds|time|minutes)$|^(?:train(?:ing)?_)?time_(?:limit|budget|cap)\w*$"
                  r"|^max_wall\w*$"),
    ("accum", r"^(?:grad(?:ient)?_)?accum\w*_steps$"),
    ("numel", r"numel|(?:^|_)(?:min|max)_(?:params|elements|elems|size)$"),
    ("group", r"(?:^|_)group(?:_?size)?$"),
    ("value", r"cache_size_limit|log_cache|(?:^|_)schedule$|hessian_rows|macro|^max_slide|_min_count"),
    ("value", _words("seconds", "secs", "ms", "minutes", "hours")),
    ("tablebits", r"(?:table|hash|bucket|log2)\w*_bits$|^bits_(?:table|hash)|" + _W + _NGRAM + r"\w*_log2\w*$"),
    ("value", _words(r"bits?\w*", "bytes", "mb", "percent", "dtype")),
    ("flag", _FLAGS),
    ("val_every", r"(?:^|_)(?:val|valid|validation|eval)\w*_(?:every|interval|freq|frequency)(?:_steps)?$"),
    ("log_every", r"(?:log|print|telemetry|heartbeat|progress)\w*_(?:every|interval|freq|frequency)\w*$"),
    ("every", r"(?:^|_)(?:every|interval|freq|frequency|cadence)(?:_steps)?$"),
    ("layers", r"^(?:num|n|total)_(?:(?:unique|physical|effective|transformer|hidden|base|local|global|shared)_)*"
               r"(?:layers?|blocks)$|^n_?layers?$|^depth$|^(?:local|global|physical|unique)_(?:physical_)?layers$"),
    ("layer_index", r"(?:^|_)(?:layers?|blocks?|last_n|loop_start|loop_end|start_layer|layer_start|layer_end)$"
                    r"|^loop_(?:start|end)$|^recur\w*_(?:start|end|layers)$|^parallel\w*_start\w*$"
                    r"|_layer_(?:positions|indices|ids)$|^(?:xsa|diff_attn)\w*_(?:last_n|start)$"),
    ("iterations", r"^(?:num_|n_|max_|total_|train_|training_)*(?:iterations|iters?|steps|train_steps)$"),
    ("buckets", r"(?:^|_)(?:num_|n_)?buckets?(?:_size|_count)?$|" + _W + _NGRAM +
                r"\w*_(?:vocab_size|vocab|table_size|size|bins|entries|slots|rows|capacity|buckets)$"
                + r"|^(?:table|hash|cache)_(?:size|bins|slots|entries)$|^(?:num|n)_hash\w*$"),
    ("vocab", r"^(?:n_|num_)?vocab(?:_size)?$"),
    ("heads", r"^(?:(?:num|n)_)?(?:q_|query_|attention_|attn_)?heads?$|^n_?heads?$"),
    ("kv_heads", r"^(?:(?:num|n)_)?(?:kv|key_value)_?heads?$"),
    ("other_heads", r"_(?:kv_)?heads$"),
    ("rope_dims", r"rope\w*_dims?$|^rotary_dims?$"),
    ("head_dim", r"^(?:attn_|d_)?head_?dim$|^d_head$|^headdim$"),
    ("model_dim", r"^(?:model_dim|d_model|dim|n_embd|hidden_size|embed_dim|embedding_dim|width|hidden_dim|emb_dim)$"),
    ("width", _words("dim", "hidden", "width", "inner_dim", "d_ff", "ffn_dim", "intermediate_size", "d_state",
                     "d_embed", "d_hidden", "hidden_base", "dims")),
    ("rank", r"(?:^|_)(?:lora|lowrank|low_rank|adapter|svd|q|kv|tt|ssm|trigram|bigram)\w*_(?:rank|r)$|^rank_dim$"),
    ("epochs", r"(?:^|_)epochs?(?:_per_chunk|_per_\w+)?$|(?:^|_)passes$"),
    ("stride", r"(?:^|_)(?:strides?|slide|hop)(?:_(?:tokens|len))?$"),
    ("docs", r"(?:^|_)(?:docs?|documents)(?:_(?:limit|count))?$"),
    ("val_batch", r"^(?:val|valid|validation|eval)\w*_batch_(?:size|tokens)$"),
    ("batch_tokens", r"(?:^|_)batch_(?:size_)?(?:tokens|toks)$|(?:^|_)tokens_per_(?:batch|step)$|^total_batch_size$"),
    ("chunk", r"(?:^|_)chunk(?:_?(?:tokens?|size|len|length|toks))?$|(?:^|_)chunks?_(?:size|len|tokens)$"
              r"|^(?:segment|block|shard|window)_tokens$|(?:^|_)segment_(?:size|len)$"),
    ("batch", r"(?:^|_)batch(?:_(?:seqs|size|windows|docs|sequences|samples|chunks))?$|^(?:b_?seqs|batch_n|bsz|bs)$"
              r"|(?:^|_)(?:micro|device)_batch\w*$|(?:^|_)slice_seqs$|(?<!^num)(?<!^n)_seqs$"),
    ("calib", r"calib\w*(?:batches|samples|seqs|steps|n|tokens)?$|(?:^|_)(?:n_|num_)?calib\w*$"
              r"|hessian\w*_(?:batches|samples|seqs)$"
              r"|^gptq_(?:n_)?(?:samples|batches|seqs|n_samples)$|^(?:num|n)_(?:seqs|samples)$|^n_?samples$"),
    ("seq_len", r"(?:^|_)seq(?:uence)?_?len(?:gth)?(?:_\w+)?$"
                r"|^(?:eval_|train_|val_)?(?:ctx|context)(?:_(?:len|length|size))?$"
                r"|(?:^|_)(?:context|ctx)_len(?:gth)?$|^block_size$|^max_(?:seq|position)\w*$|^seqlen$|(?:^|_)seqlen$"
                r"|^prog_seq_phase\d_len$|^seq_curriculum_initial$|_seq$|^t_(?:train|eval)$"),
    ("window", r"(?:^|_)(?:window|sliding_window)(?:_size|_len|_tokens)?$"),
    ("warmup", r"^(?:compile_|kernel_|prewarm_|loop_|jit_)?warm_?up_(?:steps|iters|iterations)$|^warmup$"),
    ("steps", r"(?:start|end|stop|begin|warm_?up|warm_?down|cool_?down|decay|ramp|hold|stage|phase|recur|swa|ema|qat|"
              r"late|transition|freeze|unfreeze|after|at|until|from|switch|anneal|tail|stable)\w*_(?:steps?|iters?|iterations)$"
              r"|^(?:warmdown|cooldown|swa|qat|ema|lawa)_(?:start|end|iters|begin)$"),
    ("repeats", r"(?:^|_)(?:n_|num_)?(?:steps|iters?|iterations)(?:_\w+)?$"),
    ("lawa", r"^lawa_k$|^swa_(?:last_n|window|checkpoints)$|^swa_steps$"),
    ("least_tokens", r"(?:^|_)min_(?:\w+_)?tokens(?:_seen)?$|(?:^|_)(?:min_(?:seen|history)|tokens_before_use)$"
                     r"|(?:^|_)(?:burn_?in|start_after|activate_after)_tokens$"),
    ("token_limit", r"(?:^|_)(?:subset|max|debug|limit|prefix|score|prefill|build|fit|train)_(?:\w+_)?tokens$"
                    r"|tokens_limit$"),
    ("length", r"(?:^|_)(?:tokens|len|length|toks|ctx|focal)$"),
)  # fmt: skip
_COMPILED = tuple((role, re.compile(pattern)) for role, pattern in _TABLE)
_VALUE = re.compile(_VALUES)
_SCHEDULE = re.compile(r"\s*\d{3,6}[@:]\d+(?:\.\d+)?(?:\s*,\s*\d{3,6}[@:]\d+(?:\.\d+)?)+\s*")
"""Sequence lengths with the moment of each."""
_INNER_RE = re.compile(_INNER)
_NAMED = frozenset({"mlp_ratio", "wallclock", "reserve", "tablebits", "numel", "group"})
"""Roles that words of rates and weights do not take away."""


def role_of(words: str, value: int | float | str | None) -> str:
    """The role of the knob named ``words``; ``value`` when it is none that scale-down touches."""
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            if _SCHEDULE.fullmatch(value) and "seq" in words.split("_"):
                return "seq_text"
            return "layer_index" if _indices(value) and re.search(r"layer|block|loop|recur|xsa|ve_", words) else "value"
    for role, pattern in _COMPILED:
        if pattern.search(words):
            if role not in _NAMED and _VALUE.search(words):
                return "value"
            if role in ("steps", "iterations", "repeats") and _INNER_RE.search(words):
                return "inner_steps"
            if role in ("batch", "docs") and "max_seqs" in words:
                return "value"
            return role
    return "value"


def _indices(text: str) -> bool:
    """Whether ``text`` lists small whole numbers: ``9,10``."""
    return bool(re.fullmatch(r"\s*\d{1,2}(?:[\s,;|:-]+\d{1,2})*\s*", text))
