"""The settings of an exported script: a class that reads environment variables, and the preset that they make."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

from reference_model.config import SECTIONS, Preset

PREFIX = {"model": "", "optim": "", "train": "", "quant": "QUANT_", "ttt": "TTT_", "eval": "EVAL_"}
"""Of the variables of a section: ``TTT_LR``."""
FIXED = ("keep_names",)
"""Settings that are no variables."""

HEAD = '''\
class Hyperparameters:
    """Settings of the run: defaults are those of the preset, each can be given as an environment variable."""

    data_path = os.environ.get("DATA_PATH", "./data/datasets/fineweb10B_sp{vocab}")
    train_files = os.path.join(data_path, "fineweb_train_*.bin")
    val_files = os.path.join(data_path, "fineweb_val_*.bin")
    tokenizer_path = os.environ.get("TOKENIZER_PATH", "./data/tokenizers/fineweb_{vocab}_bpe.model")
'''


def variable(section: str, name: str) -> str:
    """The environment variable of a setting."""
    return (PREFIX[section] + name).upper()


def attribute(section: str, name: str) -> str:
    """The attribute of ``Hyperparameters`` that holds a setting."""
    return variable(section, name).lower()


def class_text(preset: Preset) -> str:
    """The class ``Hyperparameters`` for ``preset``."""
    lines = [HEAD.format(vocab=preset.model.vocab_size)]
    for section in SECTIONS:
        part = getattr(preset, section)
        lines.append(f"    # {section}\n")
        hints = get_type_hints(type(part))
        for item in fields(part):
            value = getattr(part, item.name)
            if item.name not in FIXED:
                lines.append(f"    {attribute(section, item.name)} = {_reading(section, item.name, hints, value)}\n")
    return "".join(lines)


def _reading(section: str, name: str, hints: dict[str, Any], value: Any) -> str:
    key, kind = variable(section, name), hints[name]
    if kind is bool:
        return f'bool(int(os.environ.get("{key}", "{int(value)}")))'
    if kind in (int, float):
        return f'{kind.__name__}(os.environ.get("{key}", {value!r}))'
    if kind == tuple[int, ...]:
        text = ",".join(map(str, value))
        return f'tuple(int(i) for i in os.environ.get("{key}", "{text}").split(",") if i)'
    if kind == (float | None):
        return repr(value) if value is None else f'float(os.environ.get("{key}", {value!r}))'
    return f'os.environ.get("{key}", "{value}")'


def preset_text(preset: Preset) -> str:
    """The function that makes the preset of ``Hyperparameters``, and ``main``."""
    parts = []
    for section in SECTIONS:
        part = getattr(preset, section)
        given = "".join(f"            {f.name}={_given(section, f.name, part)},\n" for f in fields(part))
        parts.append(f"        {section}={type(part).__name__}(\n{given}        ),\n")
    return MAIN.format(name=preset.name, title=preset.title, sections="".join(parts))


def _given(section: str, name: str, part: Any) -> str:
    return repr(getattr(part, name)) if name in FIXED else f"args.{attribute(section, name)}"


MAIN = '''\
def preset_of(args: type[Hyperparameters]) -> Preset:
    """The settings by sections."""
    return Preset(
        name={name!r},
{sections}    )


def main() -> None:
    """Train, quantise, score."""
    args = Hyperparameters
    files = Files(
        train=args.train_files,
        val=args.val_files,
        tokenizer=args.tokenizer_path,
        artifact="final_model.golf",
        script=__file__,
    )
    run(preset_of(args), files)


if __name__ == "__main__":
    main()
'''
