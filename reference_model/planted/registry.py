"""All planted violations by name, and the scripts that they make."""

from __future__ import annotations

from dataclasses import replace

from reference_model.config import Preset, load_preset
from reference_model.export.text import script_text
from reference_model.planted import byte_counts, caches, early_training, later_scores, models, reads
from reference_model.planted.edits import PlantedError, edited
from reference_model.planted.variant import Planted

PLANTED: dict[str, Planted] = {
    variant.name: variant
    for module in (early_training, later_scores, reads, caches, models, byte_counts)
    for variant in module.VARIANTS
}


def names() -> tuple[str, ...]:
    """All names, sorted."""
    return tuple(sorted(PLANTED))


def planted(name: str) -> Planted:
    """The variant of that name. Raises `PlantedError`."""
    if name not in PLANTED:
        raise PlantedError(f"nothing planted is called {name!r}; there are {', '.join(names())}")
    return PLANTED[name]


def planted_script(name: str) -> tuple[Preset, str]:
    """The preset of a variant, with its settings, and the changed script. Raises `PlantedError`."""
    variant = planted(name)
    preset = replace(load_preset(variant.preset, variant.settings), planted=name)
    return preset, edited(script_text(preset), variant.edits)
