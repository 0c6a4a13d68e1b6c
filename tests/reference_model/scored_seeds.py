"""Toy runs of the seeds' scripts, in the sandbox: the scores that they print, and those of weights by the recipe.

``python -m tests.reference_model.scored_seeds`` runs them all and freezes the second kind in ``golden_scores.json``.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import asdict, dataclass, replace
from inspect import getsource
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auditor.behaviour.scale.plan import plan as make_plan
from auditor.behaviour.toyworld.spec import WorldSpec
from auditor.behaviour.toyworld.stream import make_world
from auditor.intake import load_submission
from reference_model.config import Preset, load_preset
from reference_model.data.shards import usable
from reference_model.data.tokens import ByteTable
from tests.reference_model.edited_scripts import instead_of_main, run_edited
from tests.reference_model.golden import SEEDS, settings
from tests.reference_model.recipe import filled
from tests.reference_model.seeds import folder

FILE = Path(__file__).parent / "golden_scores.json"
WRITTEN = ("golf_prints.txt", "golf_model.json", "golf_args.json", "golf_scores.json")
SWITCHES = {
    "gepa_644": {"ttt_enabled": True},
    "gepa_598": {"ttt_enabled": True},
    "int5_861": {"ttt_enabled": True},
    "muon_ttt_1406": {"ttt_enabled": True},
    "selfgen_1406": {},
    "baseline": {},
    "recur_1406": {"ttt_enabled": False},
}
"""Preset to switches of its script: test-time training after the artifact, none before it."""
TELL = """
import builtins, json, zlib
import numpy

# the recipe


_say, _make, _named = builtins.print, GPT.__init__, []


def _kept(*what, **named):
    _say(*what, **named)
    with open("golf_prints.txt", "a") as file:
        _say(*what, file=file)


def _noted(self, *what, **named):
    _named.append(named)
    _make(self, *what, **named)


def _scores():
    args, device = Hyperparameters(), torch.device("cuda", 0)
    model = GPT(**_named[0]).to(device).float()
    _named[0]["rope_train_seq_len"] = getattr(model.blocks[0].attn.rotary, "train_seq_len", 0)
    made = {k: torch.from_numpy(filled(k, tuple(v.shape))) for k, v in model.state_dict().items()}
    model.load_state_dict(made)
    sp = spm.SentencePieceProcessor(model_file=args.tokenizer_path)
    tokens = load_validation_tokens(args.val_files, args.train_seq_len)
    luts = build_sentencepiece_luts(sp, args.vocab_size, device)
    found = {"whole": eval_val(args, model, 0, 1, device, 1, tokens, *luts)}
    if "eval_val_sliding" in globals():
        found["sliding"] = eval_val_sliding(args, model, 0, 1, device, tokens, *luts, args.eval_stride)
    return found


builtins.print, GPT.__init__ = _kept, _noted
# switches
try:
    main()
except SystemExit:
    pass
_plain = {k: v for k, v in vars(Hyperparameters).items() if type(v) in (int, float, str, bool)}
for _name, _what in (("scores", _scores()), ("model", _named[0]), ("args", _plain)):
    with open("golf_" + _name + ".json", "w") as file:
        json.dump(_what, file)
"""
"""In place of the call of ``main``: keeps what the script prints, its settings, and scores of weights by the recipe."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What one run left."""

    preset: Preset
    """With the settings of the toy run."""
    chosen: dict[str, Any]
    """Those settings, as they are frozen."""
    world: WorldSpec
    printed: str
    artifact: bytes
    scores: dict[str, tuple[float, float]]
    """``whole`` and, where the script has it, ``sliding``: nats per token and bits per byte."""


def run(name: str, room: Path) -> Scored:
    """The toy run of a preset's script."""
    switches = "\n".join(f"Hyperparameters.{switch} = {on}" for switch, on in SWITCHES[name].items())
    code = TELL.replace("# the recipe", getsource(filled)).replace("# switches", switches)
    (room / "plan").mkdir()
    plan = make_plan(load_submission(folder(*SEEDS[name][:2], room / "plan")))
    assert plan is not None
    (room / "run").mkdir()
    artifact = "final_model.int8.ptz" if name == "baseline" else "final_model.int6.ptz"
    ran = run_edited(name, room / "run", instead_of_main(code), wanted=(artifact, *WRITTEN), wall_seconds=240)
    assert {artifact, *WRITTEN} <= set(ran.files), ran.failure
    arguments, network, scores = (json.loads(ran.files[f"golf_{what}.json"]) for what in ("args", "model", "scores"))
    chosen = {"network": settings(network), **evaluation(arguments)}
    found = preset_of(name, chosen)
    return Scored(found, chosen, plan.world, ran.files["golf_prints.txt"].decode(), ran.files[artifact], scores)


def evaluation(arguments: dict[str, Any]) -> dict[str, Any]:
    """A script's arguments as settings of the reference's sections ``ttt`` and ``eval``."""
    ttt = {key.removeprefix("ttt_"): value for key, value in arguments.items() if key.startswith("ttt_")}
    if ttt.get("use_adamw"):
        ttt["lr"] = ttt["adamw_lr"]
    elif "use_adamw" in ttt:
        ttt |= {"kind": "sgd", "mlp_only": False}
    if ttt.get("entropy_adapt"):
        ttt["entropy_epochs"] = [ttt["epochs"] - 1, ttt["epochs"], ttt["epochs"] + 1]
    names = ("kind", "mlp_only", "lr", "epochs", "entropy_epochs", "chunk_tokens", "freeze_blocks", "batch_seqs",
             "grad_clip", "momentum")  # fmt: skip
    return {
        "ttt": {name: ttt[name] for name in names if name in ttt},
        "eval": {"seq_len": arguments["train_seq_len"], "stride": arguments.get("eval_stride", 1)},
    }


def preset_of(name: str, chosen: dict[str, Any]) -> Preset:
    """The preset with the settings of a toy run."""
    preset = load_preset(name, chosen["network"])
    train = replace(preset.train, train_seq_len=chosen["eval"]["seq_len"])
    ttt: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in chosen["ttt"].items()
    }
    return replace(preset, train=train, eval=replace(preset.eval, **chosen["eval"]), ttt=replace(preset.ttt, **ttt))


def data_of(world: WorldSpec, preset: Preset) -> tuple[Tensor, ByteTable]:
    """The validation stream of a toy world, and the bytes of its tokens."""
    import sentencepiece

    made = make_world(world)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=made.tokenizer)
    tokens = torch.from_numpy(made.val.tokens.astype("int64"))
    return usable(tokens, preset.train.train_seq_len), ByteTable.of(pieces, preset.model.vocab_size)


def printed(text: str, label: str) -> float | None:
    """The bits per byte of the last line whose label matches ``label``."""
    found = re.findall(rf"^(?:{label}_exact) .*val_bpb:([\d.]+)", text, re.M)
    return float(found[-1]) if found else None


def frozen() -> dict[str, dict[str, Any]]:
    """Preset to its toy run's settings, world and scores."""
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text())
    return found


def main() -> None:
    """Run all scripts and write the file."""
    found = {}
    for name in SWITCHES:
        with tempfile.TemporaryDirectory() as room:
            ran = run(name, Path(room))
        found[name] = {"settings": ran.chosen, "world": asdict(ran.world), "scores": ran.scores}
        print(name, ran.scores)
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
