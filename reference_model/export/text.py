"""The exported script's text."""

from __future__ import annotations

from functools import cache

from reference_model.config import Preset
from reference_model.export.bundle import ExportError, final_names, ordered
from reference_model.export.hyperparameters import class_text, preset_text
from reference_model.export.shake import Parts, headed, import_lines, reached, taken_apart, used_names

SCRIPT = "export.script"
HEAD = '''\
"""{title}

One file, made of the modules of the reference implementation `reference_model` (preset {name}). It trains, writes
the artifact, reads it back and scores it. Settings are environment variables: see `Hyperparameters`.
"""

from __future__ import annotations

'''


def script_text(preset: Preset) -> str:
    """``train_gpt.py`` of ``preset``. Raises `ExportError`."""
    if preset.quant.gptq and preset.quant.calibration != "self_generated":
        raise ExportError(f"an exported script calibrates on text of its own, not on {preset.quant.calibration!r}")
    settings, tail = class_text(preset), preset_text(preset)
    parts = _parts()
    kept = reached(parts.statements, used_names(settings) | used_names(tail))
    used = used_names(settings).union(*(s.uses for s in kept))
    head = HEAD.format(title=preset.title or preset.name, name=preset.name)
    return "\n".join([head + import_lines(parts.imports, used), "", settings, "", headed(kept).rstrip(), "", "", tail])


@cache
def _parts() -> Parts:
    """The statements that every preset's script is made of."""
    modules = ordered([SCRIPT])
    return taken_apart(modules, final_names(modules))
