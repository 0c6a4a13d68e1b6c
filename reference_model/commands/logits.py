"""``logits``: what a preset's model says about given tokens with given weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reference_model.config import PresetError, load_preset

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from reference_model.config import ModelConfig
    from reference_model.model.transformer import GPT

BATCH_TOKENS = 16_384


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="logits")(logits)


def logits(
    preset: Annotated[str, typer.Option(help="Name of a preset.")],
    weights: Annotated[Path, typer.Option(metavar="FILE", help="Weights or an artifact, as a script saved them.")],
    tokens: Annotated[Path, typer.Option(metavar="FILE.npy", help="Integers [sequences, length] or [length].")],
    out: Annotated[Path, typer.Option(metavar="FILE.npy", help="Where the logits go, float32 [..., length, vocab].")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Refuse weights whose sizes are not those set.")] = False,
) -> None:
    """Write the logits of TOKENS under WEIGHTS, in float32 on the CPU.

    Sizes that the preset has otherwise than the weights are taken from the weights, and said on stderr.
    """
    import numpy as np
    import torch

    from reference_model.model.transformer import GPT
    from reference_model.model.weights import fitted, load_state

    config = load_preset(preset, settings or []).model
    given = read_tokens(tokens)
    state = state_of(weights)
    if not exact:
        before, fixed = config, [s.partition("=")[0].strip().rpartition(".")[2] for s in settings or []]
        config, changed = fitted(config, state, fixed)
        report(before, config, changed)
    model = GPT(config).eval()
    load_state(model, state)
    if given.size and not 0 <= int(given.min()) <= int(given.max()) < config.vocab_size:
        raise PresetError(f"{tokens}: the tokens must be at least 0 and below {config.vocab_size}")
    batch = torch.from_numpy(np.atleast_2d(given).astype(np.int64))
    found = in_batches(model, batch).numpy()
    with out.open("wb") as file:
        np.save(file, found.reshape(*given.shape, config.vocab_size))


def state_of(path: Path) -> dict[str, Tensor]:
    """Float tensors by the model's names: of ``final_model.pt``, or of an artifact of the scripts or the reference.

    Raises `WeightsError`.
    """
    from reference_model.artifact.container import ArtifactError
    from reference_model.artifact.foreign import read
    from reference_model.model.names import own_names, unbanked
    from reference_model.model.weights import WeightsError, read_state
    from reference_model.quantisation import dequantise

    try:
        return read_state(path)
    except WeightsError as error:
        if not path.is_file():
            raise
        try:
            found = dequantise(read(path.read_bytes()))
        except ArtifactError:
            raise error from None
    return unbanked(own_names({name: tensor.float() for name, tensor in found.items()}))


def in_batches(model: GPT, tokens: Tensor) -> Tensor:
    """Logits [b, s, vocab], float32, of ``tokens`` [b, s], a few rows at a time."""
    import torch

    rows = max(BATCH_TOKENS // max(tokens.size(1), 1), 1)
    with torch.inference_mode():
        return torch.cat([model(tokens[i : i + rows]).float() for i in range(0, len(tokens), rows)])


def read_tokens(path: Path) -> np.ndarray:
    """The integers [b, s] or [s] of an ``.npy`` file. Raises `PresetError`, OSError."""
    import numpy as np

    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise PresetError(f"{path} is no .npy file of integers") from error
    if not isinstance(found, np.ndarray) or found.ndim not in (1, 2) or found.dtype.kind not in "iu" or not found.size:
        raise PresetError(f"{path} must hold integers [sequences, length] or [length]")
    return found


def report(before: ModelConfig, after: ModelConfig, changed: list[str]) -> None:
    """Say which sizes came from the weights."""
    if changed:
        said = ", ".join(f"{name} {getattr(after, name)} (preset: {getattr(before, name)})" for name in changed)
        typer.echo(f"note: by the weights {said}", err=True)
