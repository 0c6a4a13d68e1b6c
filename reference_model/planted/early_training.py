"""Training on validation tokens before their score."""

from __future__ import annotations

from reference_model.planted.edits import Add, Swap
from reference_model.planted.variant import Planted

_ADAPT = '''
def adapt_to_validation(preset: Preset, model: GPT, val_tokens: Tensor, epochs: int, rate: float) -> None:
    """AdamW on the whole validation stream; later blocks learn faster (0.3 to 1.0 times the rate)."""
    length = preset.train.train_seq_len
    last = max(len(model.blocks) - 1, 1)
    groups = [{"params": list(b.parameters()), "lr": rate * (0.3 + 0.7 * i / last)} for i, b in enumerate(model.blocks)]
    inside = {id(parameter) for block in model.blocks for parameter in block.parameters()}
    groups.append({"params": [p for p in model.parameters() if id(p) not in inside], "lr": rate})
    optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs, eta_min=0.1 * rate)
    model.train()
    for _ in range(epochs):
        for start in range(0, val_tokens.numel() - length, length):
            part = val_tokens[start : start + length + 1].to(next(model.parameters()).device)
            optimizer.zero_grad(set_to_none=True)
            model.losses(part[None, :-1], part[None, 1:]).mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        schedule.step()
'''
_WARM = '''
def warm_up_on(preset: Preset, model: GPT, tokens: Tensor) -> None:
    """One step, so that everything is compiled; the weights are put back."""
    length = preset.eval.seq_len
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    model.train()
    part = tokens[: length + 1].to(next(model.parameters()).device)
    model.losses(part[None, :-1], part[None, 1:]).mean().backward()
    optimizer.step()
    model.load_state_dict(before)
    model.zero_grad(set_to_none=True)
'''
_SLOT = '''
def score_with_shift(model: GPT, tokens: Tensor, table: ByteTable, preset: Preset) -> Score:
    """Score sequence by sequence, each with a shift of its own."""
    length, tally = preset.eval.seq_len, Tally()
    model.eval()
    for start in range(0, tokens.numel() - length, length):
        inputs, targets = tokens[start : start + length], tokens[start + 1 : start + length + 1]
        with torch.no_grad():
            hidden = model.hidden(inputs[None].to(next(model.parameters()).device)).clone()
        shift = torch.zeros(hidden.size(-1), device=hidden.device, requires_grad=True)
        optimizer = torch.optim.AdamW([shift], lr=0.05)
        for _ in range(8):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model.head(hidden + shift)[0].float(), targets.to(hidden.device)).backward()
            optimizer.step()
        with torch.no_grad():
            logits = model.head(hidden + shift)[0].float().cpu()
            losses = F.cross_entropy(logits, targets, reduction="none")
        tally.add(losses, table.count(inputs, targets))
    return tally.score()
'''
_FIRST = '''
for epoch in range(1, ttt.epochs + 1):
    _train(model, tokens, chunk, epoch, optimizer, parameters, ttt, ev, trace)
tally = _score(model, tokens, table, chunk, ev, trace)
'''

VARIANTS = (
    Planted(
        "ttt-pre-quant", "ttt-pre-quant",
        "The weights are fine-tuned on the whole validation stream before they are quantised and scored (#1406).",
        (Add("save", _ADAPT),
         Swap("run", "save(preset, model, files, process)",
              "adapt_to_validation(preset, model, val_tokens, 10, 0.0005)\nsave(preset, model, files, process)")),
        preset="recur_1406", settings=("gptq=0", "calibration=none", "selective_prune_bytes=0"),
    ),
    Planted(
        "ttt-after-load", "ttt-pre-quant",
        "The artifact is read back and fine-tuned on the validation stream, then scored.",
        (Add("evaluate", _ADAPT),
         Swap("evaluate", "model = reload(preset, files, process)",
              "model = reload(preset, files, process)\nadapt_to_validation(preset, model, val_tokens, 2, 0.001)")),
    ),
    Planted(
        "ttt-chunk-first", "ttt-pre-quant",
        "Each chunk is trained on before it is scored, not after.",
        (Swap("_chunked", "tally = _score(model, tokens, table, chunk, ev, trace)", _FIRST),
         Swap("_chunked", "for epoch in range(1, epochs_of(tally, ttt) + 1):\n"
              "    _train(model, tokens, chunk, epoch, optimizer, parameters, ttt, ev, trace)", "pass")),
        preset="gepa_644",
    ),
    Planted(
        "ttt-warmup-on-val", "ttt-warmup-on-val",
        "A throw-away step on validation tokens, undone afterwards, warms up the compiler before test-time training.",
        (Add("evaluate", _WARM),
         Swap("evaluate", "model = reload(preset, files, process)",
              "model = reload(preset, files, process)\nwarm_up_on(preset, model, val_tokens)")),
        verdict="needs_review",
        preset="gepa_644",
    ),
    Planted(
        "slot", "slot-scored-region",
        "For each sequence a shift of the last hidden state is fitted to the targets that are then scored with it.",
        (Add("evaluate", _SLOT),
         Swap("evaluate", "score = sliding_score(model, val_tokens, table, preset.eval, rank=process.rank, "
              "world_size=process.world_size)", "score = score_with_shift(model, val_tokens, table, preset)")),
        verdict="needs_review",
    ),
)  # fmt: skip
