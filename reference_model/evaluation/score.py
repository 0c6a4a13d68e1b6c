"""A state dict and a dataset to scores: the sliding window, the whole stream, score-first test-time training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from reference_model.config import ModelConfig, Preset, PresetError
from reference_model.data.folder import DataFolder
from reference_model.data.shards import usable
from reference_model.data.tokens import ByteTable
from reference_model.evaluation.bpb import Score
from reference_model.evaluation.sliding import sliding_score, whole_stream_score
from reference_model.model.transformer import GPT
from reference_model.model.weights import WeightsError, fitted, load_state

Kind = Literal["whole", "sliding", "ttt"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SLIDING: Kind = "sliding"
SPARE = 50_000_000
"""Parameters that a model may have more than its weights, before `load_state` says which are missing."""
Told = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with its weights, and what of its sizes they changed."""

    model: GPT
    preset: Preset
    changed: tuple[str, ...] = ()
    """``setting: value by the weights (value of the preset)``."""


def load(
    preset: Preset, state: Mapping[str, Tensor], *, fixed: Collection[str] = (), device: torch.device | str = "cpu"
) -> Loaded:
    """The model of ``preset`` with the weights ``state`` in float32, on ``device``.

    Sizes that the weights show otherwise than the preset are taken from them, but for the settings of ``fixed``.
    Raises `WeightsError` and `PresetError`.
    """
    empty = [name for name, tensor in state.items() if not tensor.numel()]
    if empty or not state:
        raise WeightsError(f"the weights hold nothing in {empty[0]}" if empty else "the file holds no weights")
    config, names = fitted(preset.model, state, fixed)
    _guard(config, state)
    changed = tuple(f"{name}: {getattr(config, name)} by the weights ({getattr(preset.model, name)})" for name in names)
    model = GPT(config)
    load_state(model, state)
    return Loaded(model.float().to(device), replace(preset, model=config), changed)


def _guard(config: ModelConfig, state: Mapping[str, Tensor]) -> None:
    """Weights of a stranger must not make a model that is far larger than they are. Raises `WeightsError`."""
    given = sum(tensor.numel() for tensor in state.values())
    if config.num_layers <= len(state):
        with torch.device("meta"):
            wanted = sum(parameter.numel() for parameter in GPT(config).parameters())
        if wanted <= given + SPARE:
            return
    raise WeightsError(f"the weights are {given:,} numbers in {len(state):,} tensors: too few for such a model")


def best_device() -> str:
    """The GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def names_of(settings: Iterable[str]) -> list[str]:
    """Names of the settings in ``section.key=value`` or ``key=value``."""
    return [setting.partition("=")[0].strip().rpartition(".")[2] for setting in settings]


def asked(*, whole: bool = False, ttt: bool = False) -> tuple[Kind, ...]:
    """The sliding window, and what else is wanted."""
    chosen: dict[Kind, bool] = {"whole": whole, "sliding": True, "ttt": ttt}
    return tuple(kind for kind in KINDS if chosen[kind])


def validation(preset: Preset, data: DataFolder) -> tuple[Tensor, ByteTable]:
    """The stream that is scored and its byte table.

    As in the competition it ends after a whole number of sequences. Raises `DataError`.
    """
    tokens = data.val_tokens()
    if preset.eval.max_tokens > 0:
        tokens = tokens[: preset.eval.max_tokens + 1]
    return usable(tokens, max(preset.train.train_seq_len, preset.eval.seq_len)), data.byte_table()


def score(
    loaded: Loaded,
    tokens: Tensor,
    table: ByteTable,
    kinds: Collection[Kind] = (SLIDING,),
    on_progress: Told | None = None,
) -> dict[Kind, Score]:
    """Each of ``kinds``, in the order of `KINDS`. Raises `PresetError` where the settings fit no evaluation."""
    preset = loaded.preset
    if not 1 <= preset.eval.stride <= preset.eval.seq_len:
        raise PresetError(f"a stride of {preset.eval.stride} does not fit windows of {preset.eval.seq_len} tokens")
    if "ttt" in kinds and preset.ttt.kind == "none":
        raise PresetError(f"{preset.name} has no test-time training: set ttt.kind, or ask for another score")
    found: dict[Kind, Score] = {}
    for kind in KINDS:
        if kind in kinds:
            found[kind] = _one(kind, loaded, tokens, table, on_progress)
    return found


def _one(kind: Kind, loaded: Loaded, tokens: Tensor, table: ByteTable, on_progress: Told | None) -> Score:
    model, preset = loaded.model, loaded.preset

    def tell(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(NAMES[kind], done / total)

    if kind == "whole":
        return whole_stream_score(model, tokens, table, replace(preset.eval, seq_len=preset.train.train_seq_len), tell)
    if kind == "sliding":
        return sliding_score(model, tokens, table, preset.eval, tell)
    from reference_model.evaluation.ttt import score_first_ttt

    return score_first_ttt(model, tokens, table, preset.ttt, preset.eval, on_progress=tell)


NAMES: dict[Kind, str] = {"whole": "whole stream", "sliding": "sliding window", "ttt": "score-first TTT"}
