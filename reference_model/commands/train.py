"""``train``: one preset from the first step to the last score; alone or under torchrun."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from reference_model.config import PresetError, load_preset, with_settings


def register(app: typer.Typer) -> None:
    """Add the command ``train``."""
    app.command("train")(train)


def train(
    preset: Annotated[str, typer.Option(help="Name of a preset.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Shards and tokenizer, as data --local writes them.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where files go; default: runs/PRESET-seedN.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")
    ] = None,
    scale: Annotated[str, typer.Option(help="full, or toy: a few seconds on one CPU.")] = "full",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in DIR.")] = False,
    checkpoint_every: Annotated[int, typer.Option(metavar="STEPS", help="0: no checkpoints.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: cuda where there is any.")] = None,
) -> None:
    """Train, average, quantise, reload, score by sliding window and by score-first TTT.

    The code that counts beside the artifact is the script that ``export`` writes.
    On several GPUs: torchrun --standalone --nproc_per_node 8 -m reference_model train ...
    """
    from reference_model.data.folder import find_data
    from reference_model.export.text import script_text
    from reference_model.scale import toy
    from reference_model.training.distributed import started
    from reference_model.training.log import Log
    from reference_model.training.recipe import run

    if scale not in ("full", "toy"):
        raise PresetError(f"the scale is full or toy, not {scale!r}")
    chosen = load_preset(preset)
    chosen = with_settings(toy(chosen) if scale == "toy" else chosen, settings or [])
    found = find_data(data, chosen.model.vocab_size)
    folder = out or Path("runs") / f"{preset}-seed{chosen.train.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    with started(_kind(device)) as process:
        path = folder / f"train_seed{chosen.train.seed}.log"
        with Log(path, is_main=process.is_main, append=resume) as log:
            code = len(script_text(chosen).encode("utf-8"))
            report = run(
                chosen, found, process, log, folder, code_bytes=code, resume=resume, checkpoint_every=checkpoint_every
            )  # fmt: skip
        if process.is_main:
            typer.echo(f"\n{report.text()}\n{folder}")


def _kind(device: str | None) -> Literal["cpu", "cuda"] | None:
    if device == "cpu" or device == "cuda":
        return device  # type: ignore[return-value]
    if device is None:
        return None
    raise PresetError(f"the device is cpu or cuda, not {device!r}")
