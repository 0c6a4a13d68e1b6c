"""A submission folder: ``records/track_10min_16mb/DATE_NAME/`` with train_gpt.py, README.md and submission.json."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from reference_model.config import Preset
from reference_model.export.bundle import ExportError
from reference_model.export.text import script_text

TRACK = Path("records/track_10min_16mb")
LAUNCH = "SEED={seed} torchrun --standalone --nproc_per_node=8 train_gpt.py"


def write_folder(preset: Preset, out: Path, day: date, *, script: str | None = None, bytes_total: int = 0) -> Path:
    """Write the submission of ``preset`` below ``out``; the folder. ``script``: its text, where it was changed.

    ``bytes_total``: stated in submission.json, where not 0.

    Raises `ExportError`, also where the folder is there already, and OSError.
    """
    title = "".join(part.capitalize() for part in (preset.planted or preset.name).replace("-", "_").split("_"))
    folder = out / TRACK / f"{day.isoformat()}_{title}"
    if folder.exists():
        raise ExportError(f"{folder} is there already")
    text = script_text(preset) if script is None else script
    folder.mkdir(parents=True)
    (folder / "train_gpt.py").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(readme(preset), encoding="utf-8")
    (folder / "submission.json").write_text(metadata(preset, day, text, bytes_total), encoding="utf-8")
    return folder


def readme(preset: Preset) -> str:
    """What the submission is, and how it is launched."""
    lines = [
        f"# {preset.title or preset.name}",
        "",
        "Exported from the reference implementation; settings stand as defaults in `train_gpt.py`. No run has been "
        "made of it yet: there is no log, and no score is claimed.",
        "",
        "```bash",
        LAUNCH.format(seed=preset.train.seed),
        "```",
        "",
    ]
    return "\n".join(lines)


def metadata(preset: Preset, day: date, script: str, bytes_total: int = 0) -> str:
    """submission.json: what is known without a run."""
    fields: dict[str, object] = {
        "author": "reference_model",
        "github_id": "",
        "name": preset.title or preset.name,
        "blurb": f"Preset {preset.name} of the reference implementation, not run yet.",
        "date": f"{day.isoformat()}T00:00:00Z",
        "bytes_code": len(script.encode("utf-8")),
    }
    if bytes_total:
        fields["bytes_total"] = bytes_total
    return json.dumps(fields, indent=2) + "\n"
