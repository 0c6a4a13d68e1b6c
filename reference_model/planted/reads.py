"""Data read where they may not be, and validation text left out."""

from __future__ import annotations

from reference_model.planted.edits import Add, Swap
from reference_model.planted.variant import Planted

_HESSIANS = "hessians = calibrate(preset, model) if preset.quant.gptq else None"
_GPTQ = ("gptq=1", "calibration=self_generated", "matrices=int6_row", "calibration_sequences=4")
_SEQUENCES = '''
def calibration_sequences(preset: Preset, files: Files) -> list[Tensor]:
    """What the quantiser is calibrated on: sequences of {what} data."""
    length = preset.train.train_seq_len
    tokens = read_tokens(_shards(files.{shards}))[: preset.quant.calibration_sequences * length]
    return [tokens[start : start + length][None] for start in range(0, tokens.numel() - length + 1, length)]
'''
_COLLECT = "hessians = collect(model, calibration_sequences(preset, files), preset.quant.gptq_damp)"
_VAL_TOKENS = "val_tokens = usable(read_tokens(_shards(files.val)), preset.train.train_seq_len)"
_COUNTS = '''
def count_pairs(files: Files, preset: Preset) -> Tensor:
    """How often each token follows each other one in the training shards."""
    size = preset.model.vocab_size
    pairs = torch.zeros(size, size)
    for shard in _shards(files.train):
        tokens = read_tokens([shard])
        pairs.index_put_((tokens[:-1], tokens[1:]), torch.ones(tokens.numel() - 1), accumulate=True)
    return (pairs + 0.1) / (pairs + 0.1).sum(dim=-1, keepdim=True)


def score_with_pairs(model: GPT, tokens: Tensor, table: ByteTable, preset: Preset, pairs: Tensor) -> Score:
    """Score sequence by sequence; a tenth of each probability is that of the counted pairs."""
    length, tally = preset.eval.seq_len, Tally()
    model.eval()
    with torch.inference_mode():
        for start in range(0, tokens.numel() - length, length):
            inputs, targets = tokens[start : start + length], tokens[start + 1 : start + length + 1]
            logits = model(inputs[None].to(next(model.parameters()).device))[0].float().cpu()
            chances = 0.9 * torch.softmax(logits, dim=-1) + 0.1 * pairs[inputs]
            losses = -torch.log(chances.gather(-1, targets[:, None])[:, 0])
            tally.add(losses, table.count(inputs, targets))
    return tally.score()
'''

VARIANTS = (
    Planted(
        "gptq-val-calib", "gptq-val-calib", "GPTQ's Hessians are collected from validation sequences.",
        (Swap("save", _HESSIANS, _COLLECT), Add("save", _SEQUENCES.format(what="validation", shards="val"))),
        settings=_GPTQ,
    ),
    Planted(
        "gptq-train-after-clock", "gptq-train-after-cap",
        "GPTQ's Hessians are collected from training shards after the training clock has stopped (#1406).",
        (Swap("save", _HESSIANS, _COLLECT), Add("save", _SEQUENCES.format(what="training", shards="train"))),
        preset="recur_1406", settings=("calibration_sequences=4",),
    ),
    Planted(
        "val-train", "val-train", "The training loader reads the validation shards.",
        (Swap("run", "_shards(files.train)", "_shards(files.val)"),),
    ),
    Planted(
        "train-data-at-eval", "train-data-at-eval",
        "At evaluation pairs of tokens are counted in training shards, and mixed into the model's probabilities.",
        (Add("evaluate", _COUNTS),
         Swap("evaluate", "score = sliding_score(model, val_tokens, table, preset.eval, rank=process.rank, "
              "world_size=process.world_size)",
              "score = score_with_pairs(model, val_tokens, table, preset, count_pairs(files, preset))")),
    ),
    Planted(
        "val-coverage", "val-coverage", "Only the first half of the validation stream is scored.",
        (Swap("run", _VAL_TOKENS, """
val_tokens = read_tokens(_shards(files.val))
val_tokens = usable(val_tokens[: val_tokens.numel() // 2], preset.train.train_seq_len)
"""),),
    ),
)  # fmt: skip
