"""``quantize``: from float weights to the artifact, with its size by part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reference_model.config import Preset, PresetError, load_preset

if TYPE_CHECKING:
    from torch import Tensor


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="quantize")(quantize)


def quantize(
    preset: Annotated[str, typer.Option(help="Name of a preset.")],
    weights: Annotated[Path, typer.Option(metavar="FILE", help="Float weights as a script saved them.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the artifact goes.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")
    ] = None,
    code: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Script whose bytes count beside the model's.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(metavar="FILE.npy", help="Tokens [sequences, length] for GPTQ's Hessians.")
    ] = None,
) -> None:
    """Quantise WEIGHTS as a preset does, write the artifact and print what counts against 16,000,000 bytes."""
    from reference_model.artifact.build import build
    from reference_model.artifact.foreign import read
    from reference_model.model.names import own_names
    from reference_model.quantisation import dequantise

    chosen = load_preset(preset, settings or [])
    state = own_names(dequantise(read(weights.read_bytes())))
    hessians = calibrated(chosen, state, calibration) if chosen.quant.gptq else None
    made = build(state, chosen.quant, code.stat().st_size if code is not None else 0, hessians)
    out.write_bytes(made.data)
    if made.ones:
        typer.echo(f"selective_prune: {made.pruned_ones} of {made.ones} values of +-1 set to zero")
    typer.echo("\n".join(made.accounting.log_lines()))
    typer.echo(made.accounting.table())


def calibrated(preset: Preset, state: dict[str, Tensor], tokens: Path | None) -> dict[str, Tensor]:
    """Hessians of every matrix under ``state``, from ``tokens`` or from what the model writes itself.

    Raises `PresetError` where the preset calibrates on data and none are given.
    """
    import torch

    from reference_model.commands.logits import read_tokens
    from reference_model.model.transformer import GPT
    from reference_model.model.weights import fitted, load_state
    from reference_model.quantisation.banks import unbank
    from reference_model.quantisation.hessians import calibration_model, collect, self_generated

    quant = preset.quant
    if tokens is None and quant.calibration != "self_generated":
        raise PresetError(f"{preset.name} calibrates on data ({quant.calibration}): give --calibration FILE.npy")
    model = GPT(fitted(preset.model, unbank(state))[0])
    load_state(model, state)
    if tokens is None:
        sequences = self_generated(model, quant, preset.train.seed, _progress)
    else:
        given = torch.from_numpy(read_tokens(tokens).astype("int64"))
        given = given if given.ndim == 2 else given[None]
        sequences = [given[i : i + 1] for i in range(len(given))]
    return collect(
        calibration_model(model, quant.calibration_recurrence), (s[:, :-1] for s in sequences), quant.gptq_damp
    )


def _progress(done: int, whole: int) -> None:
    typer.echo(f"calibration: {done}/{whole} sequences", err=True)
