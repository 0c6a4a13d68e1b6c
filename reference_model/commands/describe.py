"""``describe``: what a preset is: its settings, its layers, and parameters and bytes by part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reference_model.config import SECTIONS, Preset, PresetError, load_preset

if TYPE_CHECKING:
    from reference_model.config import QuantConfig

FORMATS = ("text", "json")
PARTS = (
    ("tok_emb", "token embedding"),
    ("lm_head", "head"),
    ("bigram_emb", "bigram embedding"),
    ("ve_", "value embeddings"),
    ("smear_gate", "smear gate"),
    ("skip_", "skips"),
    (".attn.", "attention"),
    (".mlp.", "mlp"),
    ("", "residual scales"),
)
"""What a tensor's name has in it, and the part that it belongs to; the first that fits."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the network."""

    name: str
    tensors: int
    parameters: int
    float_bytes: int
    """In float32."""
    artifact_bytes: int
    """Quantised, before compression."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="describe")(describe)


def describe(
    preset: Annotated[str, typer.Option(help="Name of a preset.")],
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text or json.")] = "text",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")
    ] = None,
) -> None:
    """Print a preset's settings, layers, and parameters and bytes by part."""
    if form not in FORMATS:
        raise PresetError(f"--format is one of {', '.join(FORMATS)}, not {form!r}")
    chosen = load_preset(preset, settings or [])
    typer.echo(json.dumps(as_table(chosen), indent=2) if form == "json" else as_text(chosen))


def as_table(preset: Preset) -> dict[str, Any]:
    """Everything about ``preset`` that JSON can hold. Raises `PresetError`."""
    parts = parts_of(preset)
    return {
        "name": preset.name,
        "title": preset.title,
        "parameters": sum(part.parameters for part in parts),
        "float_bytes": sum(part.float_bytes for part in parts),
        "artifact_bytes": sum(part.artifact_bytes for part in parts),
        "parts": [asdict(part) for part in parts],
        "layers": layers_of(preset),
        **{section: asdict(getattr(preset, section)) for section in SECTIONS},
        "claimed": dict(preset.claimed),
    }


def parts_of(preset: Preset) -> list[Part]:
    """Parameters and bytes by part, in the order of `PARTS`. Raises `PresetError`."""
    found: dict[str, Part] = {}
    for name, shape in shapes_of(preset):
        title = next(title for word, title in PARTS if word in name)
        was = found.get(title, Part(title, 0, 0, 0, 0))
        size = prod(shape)
        stored = stored_bytes(name, shape, preset.quant)
        found[title] = Part(
            title, was.tensors + 1, was.parameters + size, was.float_bytes + 4 * size, was.artifact_bytes + stored
        )
    return [found[title] for _, title in PARTS if title in found]


def shapes_of(preset: Preset) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of all tensors, banks taken apart. Raises `PresetError`."""
    import torch

    from reference_model.model.names import unbanked
    from reference_model.model.transformer import GPT

    with torch.device("meta"):
        model = GPT(preset.model)
    yield from ((name, tuple(tensor.shape)) for name, tensor in unbanked(model.state_dict()).items())


def stored_bytes(name: str, shape: tuple[int, ...], quant: QuantConfig) -> int:
    """Bytes of a tensor in the artifact before compression: values of one byte and float16 scales, or kept floats."""
    from reference_model.quantisation.mixed import scheme_of

    size, small = prod(shape), prod(shape) <= quant.keep_float_numel
    control = any(word in name for word in quant.keep_names)
    scheme = scheme_of(name, quant)
    if control and small == (quant.keep_names_of == "small"):
        return 4 * size
    if small or scheme == "float16":
        return 2 * size
    if scheme == "float32":
        return 4 * size
    return size + 2 * (1 if scheme == "int8_tensor" or len(shape) != 2 else shape[0])


def layers_of(preset: Preset) -> list[dict[str, Any]]:
    """The passes through layers in the order in which they run, each with what is special about it."""
    model = preset.model
    half = model.num_layers // 2
    found: list[dict[str, Any]] = []
    for i in (*range(model.num_layers), *model.recur_layers):
        first = len(found) < model.num_layers
        partner = 2 * half - 1 - i
        skip = first and model.skips != "none" and half <= i < 2 * half
        found.append(
            {
                "layer": i,
                "again": not first,
                "skip_from": partner if skip else None,
                "exclusive_attention": i >= model.num_layers - model.xsa_last_n,
                "value_embedding": i in model.ve_layers,
            }
        )
    return found


def as_text(preset: Preset) -> str:
    """The same for a reader. Raises `PresetError`."""
    model, table = preset.model, as_table(preset)
    lines = [preset.title or preset.name, ""]
    lines += _columns(
        [("part", "tensors", "parameters", "float32 bytes", "artifact bytes")]
        + [(p["name"], *(f"{p[k]:,}" for k in ("tensors", "parameters", "float_bytes", "artifact_bytes")))
           for p in table["parts"]]
        + [("all", "", *(f"{table[k]:,}" for k in ("parameters", "float_bytes", "artifact_bytes")))]
    )  # fmt: skip
    lines += ["", "Artifact bytes are those before compression.", ""]
    lines += [f"layer {row['layer']}" + _remarks(row) for row in table["layers"]]
    lines += ["", f"width {model.model_dim}, {model.num_heads} query and {model.num_kv_heads} key/value heads, "
              f"MLP {model.mlp} {model.mlp_hidden}, vocabulary {model.vocab_size}"]  # fmt: skip
    if preset.claimed:
        lines += ["", "claimed: " + ", ".join(f"{name} {value:,}" for name, value in preset.claimed.items())]
    return "\n".join(lines)


def _remarks(row: dict[str, Any]) -> str:
    remarks = [
        "a second time" if row["again"] else "",
        f"skip from layer {row['skip_from']}" if row["skip_from"] is not None else "",
        "exclusive attention" if row["exclusive_attention"] else "",
        "value embedding" if row["value_embedding"] else "",
    ]
    said = ", ".join(filter(None, remarks))
    return f": {said}" if said else ""


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    """The first column left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
