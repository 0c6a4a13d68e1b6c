"""The log: lines in the competition's format, to a file and the terminal, with a progress bar where there is one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from reference_model.config import Preset
from reference_model.evaluation.bpb import Score


class Log:
    """Writes lines to ``path`` and the standard output, shows progress on a terminal; silent unless ``is_main``."""

    def __init__(self, path: Path | None, *, is_main: bool = True, append: bool = False, quiet: bool = False) -> None:
        self.lines: list[str] = []
        self._main = is_main
        self._quiet = quiet
        self._file = path.open("a" if append else "w", encoding="utf-8") if path is not None and is_main else None
        self._console = Console(stderr=True)
        self._progress: Progress | None = None

    def __enter__(self) -> Log:
        """Nothing is opened here."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def write(self, line: str) -> None:
        """One line."""
        if not self._main:
            return
        self.lines.append(line)
        if self._file is not None:
            print(line, file=self._file, flush=True)
        if self._quiet:
            return
        if self._progress is not None and sys.stdout.isatty():
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, flush=True)

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Callable[[int, int], None]]:
        """A bar for ``what``; the function given takes what is done and what there is in all."""
        if not self._main or self._quiet or not self._console.is_terminal:
            yield lambda done, of: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            self._progress = bar
            try:
                yield lambda done, of: bar.update(task, completed=done, total=of)
            finally:
                self._progress = None


def header(preset: Preset, params: int, world_size: int, accumulation: int) -> list[str]:
    """What is trained and how, before the first step."""
    model, optim, train = preset.model, preset.optim, preset.train
    return [
        f"preset:{preset.name}",
        f"model_params:{params}",
        f"world_size:{world_size} grad_accum_steps:{accumulation}",
        f"attention_mode:gqa num_heads:{model.num_heads} num_kv_heads:{model.num_kv_heads}",
        f"tie_embeddings:{model.tie_embeddings} "
        f"embed_lr:{optim.tied_embed_lr if model.tie_embeddings else optim.embed_lr} "
        f"head_lr:{0.0 if model.tie_embeddings else optim.head_lr} matrix_lr:{optim.matrix_lr} "
        f"scalar_lr:{optim.scalar_lr} decoder_lr_mult:{optim.decoder_lr_mult}",
        f"train_batch_tokens:{train.train_batch_tokens} train_seq_len:{train.train_seq_len} "
        f"iterations:{train.iterations} warmup_steps:{train.warmup_steps} "
        f"max_wallclock_seconds:{train.max_wallclock_seconds:.3f}",
        f"seed:{train.seed}",
    ]


def train_line(step: int, of: int, loss: float, elapsed_ms: float) -> str:
    """After ``step`` steps."""
    return f"step:{step}/{of} train_loss:{loss:.4f} {clock_part(step, elapsed_ms)}"


def val_line(step: int, of: int, score: Score, elapsed_ms: float) -> str:
    """A validation during training."""
    return f"step:{step}/{of} val_loss:{score.loss:.4f} val_bpb:{score.bpb:.4f} {clock_part(step, elapsed_ms)}"


def clock_part(step: int, elapsed_ms: float) -> str:
    """The training time so far and its mean."""
    return f"train_time:{elapsed_ms:.0f}ms step_avg:{elapsed_ms / max(step, 1):.2f}ms"


def stop_line(step: int, of: int, elapsed_ms: float) -> str:
    """The clock ended the run."""
    return f"stopping_early: wallclock_cap train_time:{elapsed_ms:.0f}ms step:{step}/{of}"


def score_lines(label: str, score: Score, seconds: float, extra: str = "") -> list[str]:
    """A score after training, rounded and exact; ``extra`` stands between the score and its time."""
    between = f" {extra}" if extra else ""
    return [
        f"{label} val_loss:{score.loss:.4f} val_bpb:{score.bpb:.4f}{between} eval_time:{1000.0 * seconds:.0f}ms",
        f"{label}_exact val_loss:{score.loss:.8f} val_bpb:{score.bpb:.8f}",
    ]


def size_lines(label: str, model_bytes: int, code_bytes: int) -> list[str]:
    """Bytes of the artifact; ``label`` names scheme and compressor, ``int6+zstd``."""
    return [
        f"Serialized model {label}: {model_bytes} bytes",
        f"Code size: {code_bytes} bytes",
        f"Total submission size {label}: {model_bytes + code_bytes} bytes",
    ]
