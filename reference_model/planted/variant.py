"""What a planted violation is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reference_model.planted.edits import Edit


@dataclass(frozen=True, slots=True)
class Planted:
    """A preset with one fault put into its exported script, its settings or what it states."""

    name: str
    rule: str
    """Id of the rule that it breaks."""
    says: str
    """What it does, one sentence."""
    edits: tuple[Edit, ...] = ()
    preset: str = "baseline"
    settings: tuple[str, ...] = ()
    """Of the preset, as `with_settings` takes them."""
    verdict: Literal["non_compliant", "needs_review"] = "non_compliant"
    """Of an audit without logs: rules without a ruling, or that ask for a log's seconds, leave it to a person."""
    bytes_total: int = 0
    """Stated in submission.json; 0: nothing is stated."""
