"""A SkyPilot task file: the same re-run on a rented machine with eight H100, and how its record comes back.

https://docs.skypilot.co/en/latest/reference/yaml-spec.html. Values are quoted as JSON, which YAML contains. A folder's
name is a stranger's: there it keeps only letters, digits and a few signs.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import auditor
from auditor import __version__
from auditor.core.submission import Submission
from auditor.rerun.data import names_in
from auditor.rerun.options import Options

RECORD = "golf-rerun-record"
"""Folder of the record on the rented machine, below its home."""
PARTS = ("auditor", "rules", "reference_model", "pyproject.toml", "README.md", "LICENSE")
"""Of a checkout of this tool, what its installation needs."""
TRAIN_SHARDS = 80
"""The default export's, of 100 million tokens."""
IDLE_MINUTES = 30
TORCH = "torch==2.9.1"
"""What most submissions of April 2026 ran on; ``--env TORCH=...`` takes another."""
_VARIANT = re.compile(r"fineweb10B_([A-Za-z0-9]{1,20})")


def task(submission: Submission, options: Options) -> str:
    """The task file for ``submission`` under ``options``, as YAML text."""
    name = _slug(submission.name)
    place = f"golf-submission/records/{submission.track or 'unknown_track'}/{_plain(submission.name)}"
    variant, known = _variant(submission)
    lines = [
        *_head(name, variant, known),
        f"name: {name}",
        "num_nodes: 1",
        "resources:",
        "  accelerators: ['H100-SXM:8', 'H100:8']  # where a vendor's H100 is another form, the re-run says so",
        "  disk_size: 512",
        "  use_spot: false",
        "  autostop:",
        f"    idle_minutes: {IDLE_MINUTES}",
        "envs:",
        f"  TORCH: {_quoted(TORCH)}",
        f"  VARIANT: {_quoted(variant)}",
        f"  TRAIN_SHARDS: {_quoted(str(TRAIN_SHARDS))}",
        "file_mounts:",
        f"  {_quoted('~/' + place)}: {_quoted(str(submission.root.absolute()))}",
        *(f"  {_quoted('~/golf-audit/' + part)}: {_quoted(str(path))}" for part, path in _tool()),
        *_block("setup", _setup()),
        *_block("run", _run(place, options)),
    ]
    return "\n".join(lines) + "\n"


def _head(name: str, variant: str, known: bool) -> list[str]:
    guess = "" if known else " (a guess: the script names no export; --env VARIANT=... takes another)"
    return [
        "# The re-run of one submission on rented 8xH100 (SXM), by SkyPilot. Save it as rerun.sky.yaml, then:",
        "# rents, sets up, runs, shows the log:",
        f"#   sky launch -c {name} rerun.sky.yaml",
        "# interrupted, goes on with the record:",
        f"#   sky exec {name} rerun.sky.yaml",
        "# brings the record back, and hears it as fourth witness of an audit:",
        f"#   rsync -Pavz {name}:{RECORD}/ RECORD/ && golf-audit PR_DIR --rerun-record RECORD",
        "# ends the rent (idle, the machine stops by itself and keeps its disk, and with it the record):",
        f"#   sky down {name}",
        f"# Data: {variant}{guess}.",
    ]


def _setup() -> list[str]:
    package = '"$HOME/golf-audit[data]"' if _tool() else f"'golf-audit[data]=={__version__}'"
    return [
        "set -e",
        "command -v bwrap >/dev/null || { sudo apt-get update -qq && sudo apt-get install -y -qq bubblewrap; } || true",
        "command -v uv >/dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh",
        'export PATH="$HOME/.local/bin:$PATH"',
        '[ -d "$HOME/golf" ] || uv venv --seed --python 3.12 "$HOME/golf"',
        f'uv pip install --python "$HOME/golf/bin/python" "$TORCH" numpy {package}',
        '"$HOME/golf/bin/python" -m reference_model fetch-data --out "$HOME/golf-data" --variant "$VARIANT" \\',
        '  --train-shards "$TRAIN_SHARDS"',
    ]


def _run(place: str, options: Options) -> list[str]:
    return [
        f'"$HOME/golf/bin/golf-audit" rerun "$HOME"/{shlex.quote(place)} \\',
        f'  --data "$HOME/golf-data" --keep "$HOME/{RECORD}" --gpus 8 \\',
        f"  {shlex.join(_options(options))} && code=0 || code=$?",
        'echo "golf-audit rerun ended with $code"',
        "# An answer, whatever it says, is a job that was done.",
        'case "$code" in 0|1|10|11) exit 0 ;; *) exit "$code" ;; esac',
    ]


def _options(options: Options) -> list[str]:
    """What was asked for here, as words of the command there; folders of this machine are not."""
    limits = options.limits
    words = ["--seeds", ",".join(map(str, options.asked_seeds))]
    words += ["--limit-train", f"{limits.train:g}", "--limit-eval", f"{limits.evaluation:g}"]
    words += ["--limit-other", f"{limits.other:g}", "--grace", f"{limits.grace:g}"]
    words += ["--launcher", options.launcher] if options.launcher else []
    words += ["--no-install"] if not options.install else []
    words += ["--unsandboxed"] if options.unsandboxed else []
    words += ["--verbose"] if options.verbose else []
    return words


def _variant(submission: Submission) -> tuple[str, bool]:
    """The data export that the launch, else the script, names (``sp1024``), and whether one is named."""
    text = submission.entry.text if submission.entry is not None else ""
    launch = submission.launch
    values = [setting.value for setting in (*launch.env.values(), *launch.logged.values())]
    for name in names_in(text, values):
        if match := _VARIANT.fullmatch(name):
            return match.group(1), True
    return "sp1024", False


def _tool() -> list[tuple[str, Path]]:
    """What of this tool's checkout goes along: (part, path). Empty where it was installed from an index."""
    top = Path(auditor.__file__).resolve().parent.parent
    if not (top / "pyproject.toml").is_file():
        return []
    return [(part, top / part) for part in PARTS if (top / part).exists()]


def _block(key: str, lines: list[str]) -> list[str]:
    return [f"{key}: |", *(f"  {line}" for line in lines)]


def _plain(name: str) -> str:
    """A folder's name without what a shell, YAML or a file system could take otherwise."""
    return re.sub(r"[^A-Za-z0-9_.+=@-]", "_", name)[:120].lstrip(".-") or "submission"


def _slug(name: str) -> str:
    """A name that a cluster may have: letters, digits and hyphens."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:30].strip("-")
    return f"golf-{plain}" if plain else "golf-rerun"


def _quoted(text: str) -> str:
    """A YAML scalar; JSON's strings are such."""
    return json.dumps(text)
