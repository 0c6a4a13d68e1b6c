"""Planted violations: exported submissions that each break one rule, as known answers for an auditor."""

from reference_model.planted.edits import PlantedError
from reference_model.planted.registry import names, planted, planted_script
from reference_model.planted.variant import Planted

__all__ = ["Planted", "PlantedError", "names", "planted", "planted_script"]
