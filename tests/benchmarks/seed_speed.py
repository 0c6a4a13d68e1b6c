"""The reference against a submission's own script: the same shapes, the same machine, the same sandbox.

    python -m tests.benchmarks.seed_speed gepa_644=FOLDER recur_1406=FOLDER ... [--scale toy --scale mid]

Both are run in the guest of the behaviour witness: the submission's script, and the script that ``export`` writes for
the preset. Each gets the same few lines before its main guard, which build its network in the asked size and time, in
CPU seconds of one thread, a forward and backward pass, a step of its optimisers (its own Muon; AdamW for what is no
matrix) and the scoring of windows. The guest's replacements for CUDA weigh on both alike.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from auditor.behaviour.scale.plan import plan as make_plan
from auditor.behaviour.session import Session
from auditor.behaviour.toyworld.stream import make_world
from auditor.intake import load_submission
from reference_model.config import ModelConfig, load_preset
from reference_model.export.folder import write_folder
from tests.benchmarks.reference_speed import at_scale

GUARD = 'if __name__ == "__main__":'
ASKED, FOUND = "golf_speed_asked.json", "golf_speed.json"
WALL_SECONDS = 400.0
ROUNDS = 2
"""Both are measured so often, in turn, so that another load of the machine meets both."""

TIMING = '''

import json as _json
import resource as _resource


def _used():
    used = _resource.getrusage(_resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _best(work, seconds):
    work()
    taken = []
    while len(taken) < 3 or sum(taken) < seconds:
        before = _used()
        work()
        taken.append(_used() - before)
    return min(taken)


def _measure(model, loss_of, optimizers, losses_of, asked):
    batch, length = asked["sequences"], asked["seq_len"]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.02)
    tokens = torch.randint(0, asked["vocab_size"], (batch, length + 1))
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def one_pass():
        for parameter in model.parameters():
            parameter.grad = None
        loss_of(inputs, targets).backward()

    def update():
        for optimizer in optimizers:
            optimizer.step()

    def score():
        with torch.inference_mode():
            losses_of(inputs, targets)

    model.train()
    found = {"pass": _best(one_pass, asked["seconds"]), "update": _best(update, asked["seconds"])}
    model.eval()
    found["score"] = _best(score, asked["seconds"])
    found["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    return found


def _measure_all():
    with open("golf_speed_asked.json") as file:
        asked = _json.load(file)
    found = [_measure(*_parts(one), one) for one in asked]
    with open("golf_speed.json", "w") as file:
        _json.dump(found, file)


'''
OF_SCRIPT = '''
class _Built(BaseException):
    pass


class _Seen(GPT):
    def __init__(self, **named):
        _Seen.made = named
        raise _Built


_network, GPT, _run = GPT, _Seen, main


def main():
    try:
        _run()
    except _Built:
        _measure_all()


def _parts(asked):
    named = {**_Seen.made, **{k: v for k, v in asked["script"].items() if k in _Seen.made}}
    model = _network(**named).float()
    matrices = [p for n, p in model.named_parameters() if p.ndim == 3 or (p.ndim == 2 and _is_matrix(n))]
    rest = [p for p in model.parameters() if not any(p is m for m in matrices)]
    muon = Muon(matrices, lr=1e-4, momentum=0.95, backend_steps=5)
    adam = torch.optim.AdamW(rest, lr=1e-4, fused=True)

    def losses(inputs, targets):
        logits = model.forward_logits(inputs)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")

    return model, model, [adam, muon], losses


def _is_matrix(name):
    return name.startswith("blocks.") and "resid_mix" not in name


'''
OF_REFERENCE = '''
from dataclasses import replace as _replace


def main():
    _measure_all()


def _parts(asked):
    preset = preset_of(Hyperparameters)
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in asked["model"].items()}
    model = GPT(_replace(preset.model, **given))
    return model, MeanLoss(model), build_optimizers(model, preset.optim), model.losses


'''


def asked_of(name: str, scale: str, seconds: float) -> dict[str, Any]:
    """Shapes of one measurement, for the reference's network and by the names of the scripts."""
    work = at_scale(load_preset(name), scale)
    model = work.preset.model
    changed = {
        key: getattr(model, key)
        for key in (
            "num_layers", "model_dim", "num_heads", "num_kv_heads", "mlp_hidden", "rope_dims", "rope_train_seq_len",
            "bigram_buckets", "bigram_dim", "ve_dim", "ve_layers", "xsa_last_n", "recur_layers", "vocab_size",
        )
    }  # fmt: skip
    return {
        "model": changed, "script": script_names(model), "sequences": work.sequences, "vocab_size": model.vocab_size,
        "seq_len": work.preset.train.train_seq_len, "seconds": seconds,
    }  # fmt: skip


def script_names(model: ModelConfig) -> dict[str, Any]:
    """Sizes under the names that the scripts' constructors have; those that one does not have are left out there."""
    return {
        "num_layers": model.num_layers, "model_dim": model.model_dim, "num_heads": model.num_heads,
        "num_kv_heads": model.num_kv_heads, "mlp_hidden": model.mlp_hidden, "vocab_size": model.vocab_size,
        "mlp_mult": model.mlp_hidden // model.model_dim, "rope_dims": model.rope_dims,
        "rope_train_seq_len": model.rope_train_seq_len, "bigram_buckets": model.bigram_buckets,
        "bigram_embed_dim": model.bigram_dim, "bigram_dim": model.bigram_dim,
        "bigram_vocab_size": model.bigram_buckets, "ve_enabled": bool(model.ve_layers), "ve_dim": model.ve_dim,
        "ve_layers": ",".join(map(str, model.ve_layers)), "xsa_last_n": model.xsa_last_n,
        "bigram_xor_hash": model.bigram_hash == "xor", "recur_enabled": bool(model.recur_layers),
        "recur_layers": list(model.recur_layers),
    }  # fmt: skip


def timed(folder: Path, lines: str, asked: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Seconds of each part for each of ``asked``, measured in the guest by the script of ``folder``."""
    submission = load_submission(folder)
    plan = make_plan(submission)
    head, guard, tail = plan.files[plan.script].rpartition(GUARD)
    assert guard, "the script has no main guard"
    plan = replace(plan, files={**plan.files, plan.script: head + TIMING + lines + guard + tail})
    world = make_world(plan.world)
    with Session(submission, plan, world) as session:
        (session.base / "run" / ASKED).write_text(json.dumps(asked), encoding="utf-8")
        log = session.run(world.val, WALL_SECONDS)
        assert log.ended, log.failure()
        found: list[dict[str, float]] = json.loads(session._scratch.read(f"work/golf/run/{FOUND}", 1 << 20))
    return found


def compare(name: str, folder: Path, scales: list[str], seconds: float) -> list[str]:
    """Rows of the table for one preset."""
    asked = [asked_of(name, scale, seconds) for scale in scales]
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as room:
        written = write_folder(load_preset(name), Path(room), date(2026, 4, 1))
        for _ in range(ROUNDS):
            ours.append(timed(written, OF_REFERENCE, asked))
            theirs.append(timed(folder, OF_SCRIPT, asked))
    return [
        row(name, scale, one, _least([found[i] for found in ours]), _least([found[i] for found in theirs]))
        for i, (scale, one) in enumerate(zip(scales, asked, strict=True))
    ]


def _least(found: list[dict[str, float]]) -> dict[str, float]:
    """The shortest time of each part over the rounds."""
    return {part: min(one[part] for one in found) for part in found[0]}


def row(name: str, scale: str, asked: dict[str, Any], mine: dict[str, float], its: dict[str, float]) -> str:
    """One line of the table."""
    tokens = asked["sequences"] * asked["seq_len"]
    for side in (mine, its):
        side["step"] = side["pass"] + side["update"]
    cells = [name, scale, f"{mine['parameters']:,}", f"{its['parameters']:,}"]
    cells += [
        f"{tokens / mine[part]:,.0f} / {tokens / its[part]:,.0f} = {its[part] / mine[part]:.2f}"
        for part in ("pass", "score", "step")
    ]
    cells += [f"{1000 * mine['update']:,.1f} / {1000 * its['update']:,.1f} = {its['update'] / mine['update']:.2f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print a table: reference / script = ratio, above 1 where the reference is the faster."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pairs", nargs="+", metavar="PRESET=FOLDER")
    parser.add_argument("--scale", action="append", choices=("toy", "mid"))
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    print("| preset | scale | parameters | the script's | forward + backward, tokens/s | scoring, tokens/s | "
          "whole step, tokens/s | optimisers, ms |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    for pair in arguments.pairs:
        name, _, folder = pair.partition("=")
        for line in compare(name, Path(folder), arguments.scale or ["toy", "mid"], arguments.seconds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
