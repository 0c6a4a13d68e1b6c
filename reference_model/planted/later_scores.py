"""Scores that are made again, or chosen, after the tokens were trained on."""

from __future__ import annotations

from reference_model.planted.edits import Add, Swap
from reference_model.planted.variant import Planted

_TRAIN = "_train(model, tokens, chunk, epoch, optimizer, parameters, ttt, ev, trace)"
_TOLD = "if on_progress is not None:\n    on_progress(chunk.index + 1, len(chunks))"

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
        "Each chunk is scored before and after it is trained on; of the two scores the lower one counts.",
        (Swap("_chunked", "total.merge(tally)", "best = tally"),
         Swap("_chunked", f"for epoch in range(1, epochs_of(tally, ttt) + 1):\n    {_TRAIN}",
              f"for epoch in range(1, ttt.epochs + 1):\n    {_TRAIN}\n"
              "    again = _score(model, tokens, table, chunk, ev, trace)\n"
              "    best = min(best, again, key=lambda each: each.sums[0].item())"),
         Swap("_chunked", _TOLD, "total.merge(best)")),
        preset="gepa_644", settings=("ttt.epochs=3",),
    ),
    Planted(
        "rescore-two-pass", "rescore-two-pass",
        "After a first pass that scores and trains, the whole stream is scored again with the adapted weights.",
        (Swap("_chunked", "return total.score()", "return sliding_score(model, tokens, table, ev)"),),
        preset="gepa_644",
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
    ),
)  # fmt: skip
