"""``golf-audit bpb``: a real artifact scored by the reference implementation; nothing of the submission is executed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from reference_model.evaluation.bpb import Score
    from reference_model.evaluation.score import Kind

FORMATS = ("text", "json")
CAP = 16_000_000
"""Bytes of code and artifact together."""
LARGEST_FILE = 1 << 30
"""Bytes of a file that is opened at all."""
PRECISION = {"cpu": "a CPU in float32", "cuda": "a GPU in bfloat16"}
INSTALL_TORCH = "bpb needs torch: pip install 'golf-audit[torch]'"
NAMES = {"whole": "whole stream", "sliding": "sliding window", "ttt": "score-first TTT"}


@dataclass(frozen=True, slots=True)
class Asked:
    """The command's options."""

    artifact: Path
    preset: str
    data: Path
    weights: Path | None = None
    settings: tuple[str, ...] = ()
    whole: bool = False
    ttt: bool = False
    form: str = "text"


@dataclass(frozen=True, slots=True)
class Scored:
    """One file and its scores."""

    file: str
    bytes: int
    sha256: str
    parameters: int
    forms: dict[str, int]
    """Tensors by the form in which they are stored."""
    device: str
    """On what was computed, and in which precision."""
    data: dict[str, str]
    """Validation shards and tokenizer, with their SHA-256."""
    notes: tuple[str, ...]
    scores: dict[Kind, Score]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bpb)


def bpb(
    artifact: Annotated[str, typer.Option(metavar="FILE", help="The submission's compressed weights.")] = "",
    preset: Annotated[str, typer.Option(metavar="NAME", help="The reference's preset that the weights fit.")] = "",
    data: Annotated[str, typer.Option(metavar="DIR", help="Validation shards and tokenizer.")] = "",
    weights: Annotated[str, typer.Option(metavar="FILE", help="Float weights to score beside it.")] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Also the stream in sequences that do not overlap.")] = False,
    ttt: Annotated[bool, typer.Option("--ttt", help="Also with the preset's score-first test-time training.")] = False,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text or json.")] = "text",
    verbose: Annotated[bool, typer.Option("--verbose", help="Tracebacks when something fails.")] = False,
) -> None:
    """Score an artifact by the reference implementation: bits per byte, without running the submission's code."""
    from auditor import cli, cli_output

    def body() -> int:
        given = {"artifact": artifact, "preset": preset, "data": data}
        missing = [f"--{name}" for name, value in given.items() if not value]
        if missing:
            raise cli_output.Misuse(f"bpb needs {' and '.join(missing)}")
        more = Path(weights) if weights else None
        asked = Asked(Path(artifact), preset, Path(data), more, tuple(settings or ()), whole, ttt, form)
        return run(asked, cli_output.write)

    raise typer.Exit(cli.guarded(body, verbose))


def run(asked: Asked, write: Callable[[str], None]) -> int:
    """Do what was asked; 0. Raises the errors that `auditor.cli.guarded` knows."""
    from auditor.cli_probe import as_json, progress
    from auditor.engine import UsageError

    if asked.form not in FORMATS:
        raise UsageError(f"bpb prints {' or '.join(FORMATS)}; not {asked.form!r}")
    if util.find_spec("torch") is None:
        raise UsageError(INSTALL_TORCH)
    files = {"artifact": asked.artifact, **({"weights": asked.weights} if asked.weights else {})}
    with one_sentence(), progress(f"scoring {asked.artifact}") as told:
        found = {role: _scored(asked, path, told) for role, path in files.items()}
    document: dict[str, Any] = {"preset": asked.preset, "settings": asked.settings}
    if asked.form == "json":
        write(as_json(document | {role: asdict(scored) for role, scored in found.items()}))
    else:
        write("\n".join(line for role, scored in found.items() for line in _lines(role, scored)) + "\n")
    return 0


@contextmanager
def one_sentence() -> Iterator[None]:
    """What the reference says about wrong input becomes wrong usage; its own faults stay what they are."""
    from auditor.engine import UsageError

    try:
        yield
    except ValueError as error:
        if type(error).__module__.partition(".")[0] != "reference_model":
            raise
        raise UsageError(str(error)) from error


def _scored(asked: Asked, path: Path, told: Callable[[str, float | None], None]) -> Scored:
    from reference_model.artifact.foreign import read
    from reference_model.config import load_preset
    from reference_model.data.folder import find_data
    from reference_model.evaluation import score
    from reference_model.quantisation.mixed import dequantise

    preset = load_preset(asked.preset, asked.settings)
    told(f"reading {path.name}", None)
    data = _bytes_of(path)
    quantised = read(data)
    state = dequantise(quantised)
    device = score.best_device()
    loaded = score.load(preset, state, fixed=score.names_of(asked.settings), device=device)
    folder = find_data(asked.data, loaded.preset.model.vocab_size)
    tokens, table = score.validation(loaded.preset, folder)
    kinds = score.asked(whole=asked.whole, ttt=asked.ttt)
    scores = score.score(loaded, tokens, table, kinds, told)
    parameters = sum(tensor.numel() for tensor in loaded.model.parameters())
    forms = Counter(entry.form for entry in quantised.tensors.values())
    notes = [f"size taken from the weights: {line}" for line in loaded.changed]
    if loaded.preset.eval.max_tokens > 0:
        notes.append(f"only the first {tokens.numel() - 1:,} validation tokens were scored")
    if loaded.preset.eval.repeat_tail:
        notes.append("the last tokens count several times, as in the preset's script (eval.repeat_tail=false: once)")
    return Scored(
        path.name, len(data), hashlib.sha256(data).hexdigest(), parameters, dict(sorted(forms.items())),
        PRECISION[device], {file.name: _digest(file) for file in (*folder.val, folder.tokenizer)}, tuple(notes), scores,
    )  # fmt: skip


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _bytes_of(path: Path) -> bytes:
    """The file, read whole. Raises `UsageError`."""
    from auditor.engine import UsageError

    try:
        if not path.is_file():
            raise UsageError(f"{path} is no file")
        if path.stat().st_size > LARGEST_FILE:
            raise UsageError(f"{path} has more than {LARGEST_FILE:,} bytes, and is not read")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def _lines(role: str, scored: Scored) -> Iterator[str]:
    from auditor.core.text import plain

    yield f"{role}: {plain(scored.file, 200)}, {scored.bytes:,} bytes, sha256 {scored.sha256[:16]}"
    if role == "artifact" and scored.bytes > CAP:
        yield f"  over the cap: {scored.bytes:,} bytes of {CAP:,}, without the code"
    stored = ", ".join(f"{count} {form}" for form, count in scored.forms.items())
    yield f"  {scored.parameters:,} parameters; tensors stored as {stored}"
    yield from (f"  {note}" for note in scored.notes)
    for kind, value in scored.scores.items():
        yield f"  {NAMES[kind]:<16} val_bpb {value.bpb:.8f}  val_loss {value.loss:.8f}"
        yield f"  {'':<16} {value.tokens:,} tokens, {value.bytes:,} bytes of text"
    yield f"  computed by {scored.device}, summed in float64, on"
    yield from (f"  {plain(name, 200)}  sha256 {digest[:16]}" for name, digest in scored.data.items())
