"""Scores that are made again, or chosen, after the tokens were trained on."""

from __future__ import annotations

from reference_model.planted.edits import Add, Swap
from reference_model.planted.variant import Planted

_TRAIN = "_train(model, tokens, chunk, epoch, optimizer, parameters, ttt, ev, trace)"
_TRACED = "trace = Trace.of(tokens)\n"
_LOWEST = "lowest = torch.minimum(lowest, torch.nan_to_num(trace.losses.double(), nan=math.inf))"
_TOLD = "if on_progress is not None:\n    on_progress(chunk.index + 1, len(chunks))"
_TWICE = '''
def score_pass(model: GPT, tokens: Tensor, table: ByteTable, preset: Preset, pairs: Tensor) -> Score:
    """Score sequence by sequence with the pairs counted so far, and count those of each sequence after its score."""
    length, tally = preset.eval.seq_len, Tally()
    model.eval()
    with torch.inference_mode():
        for start in range(0, tokens.numel() - length, length):
            inputs, targets = tokens[start : start + length], tokens[start + 1 : start + length + 1]
            logits = model(inputs[None].to(next(model.parameters()).device))[0].float().cpu()
            counted = pairs[inputs] / pairs[inputs].sum(dim=-1, keepdim=True)
            chances = 0.8 * torch.softmax(logits, dim=-1) + 0.2 * counted
            tally.add(-torch.log(chances.gather(-1, targets[:, None])[:, 0]), table.count(inputs, targets))
            pairs.index_put_((inputs, targets), torch.ones(length), accumulate=True)
    return tally.score()
'''

VARIANTS = (
    Planted(
        "ttt-final-epoch-score", "ttt-final-epoch-score",
        "Each chunk is scored in every epoch and trained on in between; the last epoch's score counts.",
        (Swap("_chunked", "total.merge(tally)", "pass"),
         Swap("_chunked", f"for epoch in range(1, epochs_of(tally, ttt) + 1):\n    {_TRAIN}",
              f"for epoch in range(1, ttt.epochs + 1):\n    {_TRAIN}\n"
              "    tally = _score(model, tokens, table, chunk, ev, trace)"),
         Swap("_chunked", _TOLD, "total.merge(tally)")),
        preset="gepa_644", settings=("ttt.epochs=3",),
    ),
    Planted(
        "min-nll-epochs", "min-nll-epochs",
        "Each chunk is scored before and after it is trained on; of each token's losses the lowest counts.",
        (Swap("_chunked", "total = Tally(table.boundary.device)",
              "lowest = torch.full((positions,), math.inf, dtype=torch.float64)"),
         Swap("_chunked", "tally = _score(model, tokens, table, chunk, ev, trace)",
              f"{_TRACED}tally = _score(model, tokens, table, chunk, ev, trace)\n{_LOWEST}"),
         Swap("_chunked", "total.merge(tally)", "pass"),
         Swap("_chunked", f"for epoch in range(1, epochs_of(tally, ttt) + 1):\n    {_TRAIN}",
              f"for epoch in range(1, ttt.epochs + 1):\n    {_TRAIN}\n"
              f"    {_TRACED}    _score(model, tokens, table, chunk, ev, trace)\n    {_LOWEST}"),
         Swap("_chunked", "return total.score()", """
count = int(table.count(tokens[:-1], tokens[1:]).sum())
nats = lowest.sum().item()
return Score(nats / positions, nats / math.log(2) / count, positions, count)
""")),
        preset="gepa_644", settings=("ttt.epochs=3",),
    ),
    Planted(
        "rescore-two-pass", "rescore-two-pass",
        "A first pass counts pairs of tokens as it scores; a second scores all again with the whole table.",
        (Add("evaluate", _TWICE),
         Swap("evaluate", "score = sliding_score(model, val_tokens, table, preset.eval, rank=process.rank, "
              "world_size=process.world_size)",
              "pairs = torch.full((preset.model.vocab_size, preset.model.vocab_size), 0.1)\n"
              "score_pass(model, val_tokens, table, preset, pairs)\n"
              "score = score_pass(model, val_tokens, table, preset, pairs)")),
    ),
    Planted(
        "score-off-artifact", "score-off-artifact",
        "The float weights of training are scored, not those of the artifact.",
        (Swap("run", "evaluate(preset, files, val_tokens, table, process)",
              "score_floats(preset, files, val_tokens, table, process, model)"),
         Add("run", '''
def score_floats(
    preset: Preset, files: Files, val_tokens: Tensor, table: ByteTable, process: Process, model: GPT
) -> None:
    """Score the trained model; the artifact is read back for the look of it."""
    reload(preset, files, process)
    score = sliding_score(model, val_tokens, table, preset.eval, rank=process.rank, world_size=process.world_size)
    print(f"final_roundtrip val_loss:{score.loss:.4f} val_bpb:{score.bpb:.4f}")
    print(f"final_roundtrip_exact val_loss:{score.loss:.8f} val_bpb:{score.bpb:.8f}")
''')),
        verdict="needs_review",
    ),
)  # fmt: skip
