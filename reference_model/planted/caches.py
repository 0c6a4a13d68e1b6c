"""Scores that are no probabilities of the past alone: caches keyed by the target, the better of two, short sums."""

from __future__ import annotations

from reference_model.planted.edits import Add, Swap
from reference_model.planted.variant import Planted

_SCORE = "score_windows(model, tokens, table, batch, config.seq_len, tally)"
_CACHED = "score_with_counts(model, tokens, table, batch, config.seq_len, tally, contexts, pairs)"
_TABLES = "table, tally = table.to(device), Tally(device)"
_WITH_TABLES = f"{_TABLES}\ncontexts, pairs = torch.zeros(BUCKETS), torch.zeros(BUCKETS)"
_NGRAM = '''
BUCKETS = 4096


def score_with_counts(
    model: GPT, tokens: Tensor, table: ByteTable, batch: Sequence[Window], seq_len: int, tally: Tally,
    contexts: Tensor, pairs: Tensor,
) -> None:
    """Mix the model's probability of each token with how often it followed the two before it."""
    inputs, targets, scored = gather(tokens, batch, seq_len)
    losses = losses_from(model, inputs, targets).float()
    before = F.pad(inputs[:, :-1], (1, 0))
    context = (inputs * 36313 + before * 27191) % BUCKETS
    key = (context * 51787 + targets * 1000003) % BUCKETS
    seen = contexts[context]
    share = (pairs[key] / seen.clamp_min(1.0)).clamp_max(1.0)
    mixed = torch.where(seen > 0, 0.6 * torch.exp(-losses) + 0.4 * share, torch.exp(-losses))
    tally.add(-torch.log(mixed), table.count(inputs, targets), scored)
    ones = torch.ones(int(scored.sum()))
    contexts.index_add_(0, context[scored], ones)
    pairs.index_add_(0, key[scored], ones)
'''
_BIGRAM = '''
def score_with_counts(
    model: GPT, tokens: Tensor, table: ByteTable, batch: Sequence[Window], seq_len: int, tally: Tally,
    bigrams: Tensor,
) -> None:
    """Of the model's and a bigram table's loss the lower one counts, token by token."""
    inputs, targets, scored = gather(tokens, batch, seq_len)
    losses = losses_from(model, inputs, targets).float()
    chances = (bigrams + 0.01) / (bigrams + 0.01).sum(dim=-1, keepdim=True)
    others = -torch.log(chances[inputs].gather(-1, targets[..., None])[..., 0])
    tally.add(torch.minimum(losses, others), table.count(inputs, targets), scored)
    bigrams.index_put_((inputs[scored], targets[scored]), torch.ones(int(scored.sum())), accumulate=True)
'''
_TOP = '''
def top_losses(model: GPT, inputs: Tensor, targets: Tensor) -> Tensor:
    """Losses; at two places of three one softmax over the largest logits, and 1 / vocabulary for the rest."""
    logits = model(inputs).float()
    wanted = logits.gather(-1, targets[..., None])[..., 0]
    largest = logits.topk(max(logits.size(-1) // 8, 1), dim=-1).values
    short = torch.logsumexp(largest, dim=-1) - wanted
    short = torch.where(wanted >= largest[..., -1], short, math.log(logits.size(-1)))
    every = torch.arange(inputs.size(1), device=inputs.device) % 3 > 0
    return torch.where(every, short, torch.logsumexp(logits, dim=-1) - wanted)
'''
_PLAIN = "return model.losses(inputs, targets)[:, first:]"

VARIANTS = (
    Planted(
        "ngram-target-key", "ngram-target-key",
        "A hashed cache of scored tokens is read under a key that contains the token being scored, and mixed in.",
        (Add("score_windows", _NGRAM), Swap("_tally", _TABLES, _WITH_TABLES), Swap("_tally", _SCORE, _CACHED)),
    ),
    Planted(
        "oracle-select", "oracle-select",
        "Of the model's loss and that of a bigram table the lower one is counted for each token.",
        (Add("score_windows", _BIGRAM),
         Swap("_tally", _TABLES, f"{_TABLES}\nbigrams = torch.zeros(table.vocab_size, table.vocab_size)"),
         Swap("_tally", _SCORE,
              "score_with_counts(model, tokens, table, batch, config.seq_len, tally, bigrams)")),
    ),
    Planted(
        "unnormalised-score", "unnormalised-score",
        "At two places of three the largest logits share a whole softmax, and all other tokens get 1 / vocabulary.",
        (Add("losses_from", _TOP), Swap("losses_from", _PLAIN,
                                        "return top_losses(model, inputs, targets)[:, first:]")),
    ),
)  # fmt: skip
