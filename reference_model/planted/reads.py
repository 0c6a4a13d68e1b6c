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
        "The model that was read back is trained on training shards before it is scored.",
        (Swap("evaluate", "model = reload(preset, files, process)", """
model = reload(preset, files, process)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
loader = TrainLoader(_shards(files.train))
for _ in range(4):
    inputs, targets = loader.next_batch(4 * preset.train.train_seq_len, preset.train.train_seq_len)
    optimizer.zero_grad(set_to_none=True)
    model.losses(inputs.to(process.device), targets.to(process.device)).mean().backward()
    optimizer.step()
"""),),
    ),
    Planted(
        "val-coverage", "val-coverage", "Only the first half of the validation stream is scored.",
        (Swap("run", _VAL_TOKENS, """
val_tokens = read_tokens(_shards(files.val))
val_tokens = usable(val_tokens[: val_tokens.numel() // 2], preset.train.train_seq_len)
"""),),
    ),
)  # fmt: skip
