"""The networks of the seeds' scripts at the size of the claimed run: built in the sandbox, not trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from auditor.behaviour.scale.plan import plan as make_plan
from auditor.behaviour.session import LIMITS, Session
from auditor.behaviour.toyworld.stream import make_world
from auditor.intake import load_submission
from reference_model.config import ModelConfig
from tests.reference_model.seeds import MOST_BYTES, TOKENS, WALL_SECONDS, array, folder, speaking

ASKED, FOUND, COUNT = "golf_asked.json", "golf_found.npy", "golf_count.json"
BUILD = """
def main():
    import inspect, json
    with open("golf_asked.json") as file:
        asked = json.load(file)
    known = inspect.signature(GPT.__init__).parameters
    model = GPT(**{name: value for name, value in asked.items() if name in known}).float().eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(torch.from_numpy(filled(name, tuple(tensor.shape))))
        found = logits_of(model, torch.from_numpy(numpy.load("golf_tokens.npy")))
    numpy.save("golf_found.npy", found.float().numpy())
    with open("golf_count.json", "w") as file:
        json.dump(sum(p.numel() for p in model.parameters()), file)


"""
"""In place of the script's run: its network with the settings asked for and the weights of `recipe.filled`."""


def arguments(config: ModelConfig) -> dict[str, Any]:
    """``config`` by the names that the scripts have for the arguments of their networks."""
    mult = config.mlp_hidden / config.model_dim
    same = ("vocab_size", "num_layers", "model_dim", "num_heads", "num_kv_heads", "tie_embeddings", "logit_softcap",
            "tied_embed_init_std", "rope_base", "qk_gain_init", "mlp_hidden", "bigram_buckets", "bigram_dim",
            "rope_dims", "rope_train_seq_len", "ln_scale", "xsa_last_n", "ve_dim")  # fmt: skip
    return {
        **{name: getattr(config, name) for name in same},
        "mlp_mult": int(mult) if mult.is_integer() else mult,
        "bigram_vocab_size": config.bigram_buckets,
        "bigram_embed_dim": config.bigram_dim,
        "bigram_xor_hash": config.bigram_hash == "xor",
        "ve_enabled": bool(config.ve_layers),
        "ve_layers": ",".join(map(str, config.ve_layers)),
        "recur_enabled": bool(config.recur_layers),
        "recur_layers": list(config.recur_layers),
        "ortho_init": False,
    }


def built(pr: int, part: str, room: Path, config: ModelConfig, tokens: np.ndarray) -> tuple[np.ndarray, int]:
    """Logits of ``tokens`` by the script's network of ``config``'s size, and its parameters."""
    submission = load_submission(folder(pr, part, room))
    plan = make_plan(submission)
    assert submission.entry is not None
    plan = replace(plan, files={**plan.files, plan.script: submission.entry.text})  # nothing scaled down in it
    limits = replace(LIMITS, memory_bytes=2 * LIMITS.memory_bytes)
    with Session(submission, speaking(plan, BUILD), make_world(plan.world), limits=limits) as session:
        run = session.base / "run"
        (run / ASKED).write_text(json.dumps(arguments(config)))
        with (run / TOKENS).open("wb") as file:
            np.save(file, tokens.astype(np.int64))
        log = session.run(session.world.val, WALL_SECONDS)
        assert log.ended, log.failure()
        left = [session._scratch.read(f"work/golf/run/{name}", MOST_BYTES) for name in (FOUND, COUNT)]
    return array(left[0]), int(json.loads(left[1]))
