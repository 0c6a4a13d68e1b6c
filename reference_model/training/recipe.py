"""One preset from the first step to the last score.

train -> average -> calibrate -> quantise -> artifact -> reload -> sliding window -> score-first TTT -> report
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from reference_model.artifact.accounting import LIMIT
from reference_model.artifact.build import build
from reference_model.artifact.container import unpack
from reference_model.config import Preset
from reference_model.data.folder import DataFolder
from reference_model.data.loader import TrainLoader
from reference_model.evaluation.bpb import Score
from reference_model.evaluation.sliding import sliding_score
from reference_model.evaluation.ttt import score_first_ttt
from reference_model.model.transformer import GPT
from reference_model.model.weights import load_state
from reference_model.quantisation.mixed import dequantise
from reference_model.training.calibration import WORDS, calibrate
from reference_model.training.distributed import Process
from reference_model.training.log import Log, score_lines
from reference_model.training.loop import TrainResult, train
from reference_model.training.timers import Phases
from reference_model.training.validation import Compiled, scorer, validation_stream, whole_score

MODEL_FILE = "final_model.pt"


@dataclass(slots=True)
class Report:
    """What a run gave."""

    preset: str
    seed: int
    steps: int
    train_ms: float
    stopped_early: bool
    averaged: str
    scores: dict[str, Score] = field(default_factory=dict)
    """``float`` (averaged weights), ``roundtrip`` (from the artifact), ``sliding``, ``ttt``."""
    model_bytes: int = 0
    code_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each phase, the GPU's work awaited."""

    @property
    def headline(self) -> Score:
        """The last score that was made. Raises `IndexError` before the first."""
        return list(self.scores.values())[-1]

    def text(self) -> str:
        """For people: scores, bytes and seconds."""
        total = self.model_bytes + self.code_bytes
        lines = [f"{name:<12} val_loss {s.loss:.6f}  val_bpb {s.bpb:.6f}" for name, s in self.scores.items()]
        lines.append(f"{'bytes':<12} {total:,} of {LIMIT:,} (model {self.model_bytes:,}, code {self.code_bytes:,})")
        lines += [f"{name:<18} {seconds:,.1f} s" for name, seconds in self.seconds.items()]
        return "\n".join(lines)

    def as_json(self) -> str:
        """For ``report.json``."""
        total = self.model_bytes + self.code_bytes
        sizes = {"total_bytes": total, "limit_bytes": LIMIT, "val_bpb": self.headline.bpb}
        return json.dumps({**asdict(self), **sizes}, indent=1) + "\n"


def run(
    preset: Preset,
    data: DataFolder,
    process: Process,
    log: Log,
    out: Path,
    *,
    code_bytes: int = 0,
    resume: bool = False,
    checkpoint_every: int = 0,
) -> Report:
    """The whole recipe; files go to ``out``: float weights, artifact, ``report.json``.

    Raises what its parts raise: `TrainingError`, `CheckpointError`, `DataError`, `PresetError`, `QuantisationError`.
    """
    recipe = _Recipe(preset, data, process, log, out)
    trained = recipe.train(resume=resume, checkpoint_every=checkpoint_every)
    report = Report(
        preset.name, preset.train.seed, trained.steps, trained.elapsed_ms, trained.stopped_early, trained.averaged
    )
    report.scores["float"] = recipe.validate("DIAGNOSTIC post_average", exact=False)
    recipe.quantise(code_bytes)
    report.model_bytes, report.code_bytes = recipe.artifact_path.stat().st_size, code_bytes
    recipe.reload()
    report.scores["roundtrip"] = recipe.validate(f"final_{recipe.label}_roundtrip")
    if preset.eval.stride < preset.eval.seq_len or preset.eval.seq_len != preset.train.train_seq_len:
        report.scores["sliding"] = recipe.slide()
    if preset.ttt.kind != "none":
        report.scores["ttt"] = recipe.adapt()
    report.seconds = recipe.phases.seconds
    if process.is_main:
        (out / "report.json").write_text(report.as_json(), encoding="utf-8")
    return report


class _Recipe:
    """The parts of `run` and what they hand on."""

    def __init__(self, preset: Preset, data: DataFolder, process: Process, log: Log, out: Path) -> None:
        self.preset, self.data, self.process, self.log, self.out = preset, data, process, log, out
        self.phases = Phases(process.device)
        self.hessians: dict[str, Tensor] | None = None
        self.model: GPT
        self.scorer: GPT | Compiled
        self.loader: TrainLoader
        self.label = preset.quant.matrices.partition("_")[0]
        self.table = data.byte_table()
        length = max(preset.train.train_seq_len, preset.eval.seq_len)
        self.tokens = validation_stream(data.val_tokens(), preset.eval, length)

    def train(self, *, resume: bool, checkpoint_every: int) -> TrainResult:
        """Training; calibration on training data is within its clock."""
        in_clock = self.preset.quant.gptq and self.preset.quant.calibration == "train"
        with self.phases.phase("train"):
            result = train(
                self.preset, self.data, self.process, self.log, out=self.out, resume=resume,
                checkpoint_every=checkpoint_every, at_end=self._calibrate if in_clock else None,
            )  # fmt: skip
        if self.process.device.type == "cuda":
            allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
            self.log.write(f"peak memory allocated: {allocated >> 20} MiB reserved: {reserved >> 20} MiB")
        self.model, self.loader = result.model, result.loader
        self.scorer = scorer(result.model, self.process)
        return result

    def _calibrate(self, model: GPT, loader: TrainLoader) -> None:
        """Fill the Hessians and say from what."""
        begin = time.perf_counter()
        source = WORDS[self.preset.quant.calibration]
        self.log.write(f"gptq:collecting hessians from {source}")
        with self.phases.phase("calibrate"), self.log.progress("calibrate") as tell:
            self.hessians = calibrate(
                model, self.preset, self.process, loader=loader, val_tokens=self.tokens, on_progress=tell
            )
        seconds = time.perf_counter() - begin
        self.log.write(f"gptq:collected hessians for {len(self.hessians)} layers ({source}) in {seconds:.1f}s")

    def validate(self, label: str, *, exact: bool = True) -> Score:
        """The validation stream in sequences that do not overlap."""
        name = "validate float" if not exact else "validate artifact"
        begin = time.perf_counter()
        with self.phases.phase(name):
            score = whole_score(
                self.scorer, self.tokens, self.table, self.preset.eval, self.preset.train.train_seq_len, self.process
            )  # fmt: skip
        self._say(label, score, time.perf_counter() - begin, exact=exact)
        return score

    def quantise(self, code_bytes: int) -> None:
        """Quantise, compress, account and write the artifact; one process does it, the others wait."""
        if self.preset.quant.gptq and self.hessians is None:
            self._calibrate(self.model, self.loader)
        with self.phases.phase("quantise"):
            if self.process.is_main:
                self._write_artifact(code_bytes)
            self.process.barrier()

    def _write_artifact(self, code_bytes: int) -> None:
        state = {name: tensor.detach().cpu() for name, tensor in self.model.state_dict().items()}
        torch.save(state, self.out / MODEL_FILE)
        self.log.write(f"Serialized model: {(self.out / MODEL_FILE).stat().st_size} bytes")
        artifact = build(state, self.preset.quant, code_bytes, self.hessians)
        if artifact.ones:
            self.log.write(f"selective_prune: {artifact.pruned_ones} of {artifact.ones} values of +-1 set to zero")
        for line in artifact.accounting.log_lines():
            self.log.write(line)
        self.artifact_path.write_bytes(artifact.data)

    @property
    def artifact_path(self) -> Path:
        """Where the artifact is written and read."""
        return self.out / f"final_model.{self.label}.bin"

    def reload(self) -> None:
        """Put the weights of the written artifact into the model, and nothing else."""
        with self.phases.phase("reload"):
            load_state(self.model, dequantise(unpack(self.artifact_path.read_bytes())))

    def slide(self) -> Score:
        """Sliding-window score of the artifact."""
        ev, begin = self.preset.eval, time.perf_counter()
        with self.phases.phase("sliding window"), self.log.progress("sliding window") as tell:
            score = sliding_score(
                self.scorer, self.tokens, self.table, ev, tell,
                rank=self.process.rank, world_size=self.process.world_size,
            )  # fmt: skip
        seconds = time.perf_counter() - begin
        self._say(f"final_{self.label}_sliding_window", score, seconds, extra=f"stride:{ev.stride}")
        return score

    def adapt(self) -> Score:
        """Score-first test-time training from the artifact's weights."""
        ttt, ev, begin = self.preset.ttt, self.preset.eval, time.perf_counter()
        chunks = -(-(self.tokens.numel() - 1) // ttt.chunk_tokens)
        self.log.write(
            f"ttt_sliding:start chunks={chunks} chunk_tokens={ttt.chunk_tokens} stride={ev.stride} ttt_lr={ttt.lr} "
            f"ttt_epochs={ttt.epochs} ttt_optimizer={ttt.kind} freeze_blocks={ttt.freeze_blocks}"
        )
        tokens = self.tokens.to(self.process.device)
        with self.phases.phase("score-first TTT"), self.log.progress("score-first TTT") as tell:
            score = score_first_ttt(self.model, tokens, self.table, ttt, ev, on_progress=tell)
        seconds = time.perf_counter() - begin
        self.log.write(f"ttt_sliding:done val_loss={score.loss:.6f} val_bpb={score.bpb:.6f} elapsed={seconds:.1f}s")
        self._say("legal_ttt", score, seconds)
        return score

    def _say(self, label: str, score: Score, seconds: float, *, extra: str = "", exact: bool = True) -> None:
        for line in score_lines(label, score, seconds, extra)[: 2 if exact else 1]:
            self.log.write(line)
