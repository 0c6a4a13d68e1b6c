"""What counts: bytes of code plus bytes of the compressed model, against 16,000,000 (decimal)."""

from __future__ import annotations

from dataclasses import dataclass

from reference_model.artifact.compress import compress
from reference_model.artifact.container import tensor_bytes
from reference_model.config import QuantConfig
from reference_model.quantisation.mixed import part_of
from reference_model.quantisation.quantised import INTEGER_FORMS, Quantised, QuantisedTensor

LIMIT = 16_000_000
"""The competition's cap in bytes: 16 MB, decimal."""
QUICK_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Line:
    """One part of the model."""

    part: str
    tensors: int
    parameters: int
    raw: int
    """Bytes before compression, header not counted."""
    compressed: int
    """Bytes if this part alone were compressed, at `QUICK_LEVEL` at most: an estimate, which need not add up."""


@dataclass(frozen=True, slots=True)
class Accounting:
    """The size of a submission."""

    code: int
    model: int
    label: str
    """As log lines name it, such as ``int6+zstd-22``."""
    lines: tuple[Line, ...] = ()

    @property
    def total(self) -> int:
        """Bytes that count."""
        return self.code + self.model

    @property
    def fits(self) -> bool:
        """Whether the submission is within the cap."""
        return self.total <= LIMIT

    def log_lines(self) -> tuple[str, ...]:
        """The lines that the competition's scripts print."""
        return (
            f"Code size: {self.code} bytes",
            f"Serialized model {self.label}: {self.model} bytes",
            f"Total submission size {self.label}: {self.total} bytes",
        )

    def table(self) -> str:
        """Bytes by part, as text with aligned columns, and what is left of the cap."""
        rows = [("part", "tensors", "parameters", "raw bytes", "compressed (parts: about)")]
        rows += [(x.part, f"{x.tensors}", f"{x.parameters:,}", f"{x.raw:,}", f"{x.compressed:,}") for x in self.lines]
        sums = [sum(getattr(x, key) for x in self.lines) for key in ("tensors", "parameters", "raw")]
        rows += [("model", f"{sums[0]}", f"{sums[1]:,}", f"{sums[2]:,}", f"{self.model:,}")]
        rows += [("code", "", "", "", f"{self.code:,}"), ("total", "", "", "", f"{self.total:,}")]
        rows += [("left of the cap" if self.fits else "over the cap", "", "", "", f"{abs(LIMIT - self.total):,}")]
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, 5))]).rstrip()
            for row in rows
        )


def account(quantised: Quantised, model: bytes, code: int, config: QuantConfig) -> Accounting:
    """The accounting of the artifact ``model`` with ``code`` bytes of code."""
    groups: dict[str, list[QuantisedTensor]] = {}
    for name, entry in quantised.tensors.items():
        groups.setdefault(_part(name, entry), []).append(entry)
    return Accounting(code, len(model), label(config), tuple(_line(part, groups[part], config) for part in groups))


def label(config: QuantConfig) -> str:
    """Bits of the matrices and compressor, as the scripts' log lines name them."""
    bits = config.matrices.split("_")[0]
    level = f"-{config.compressor_level}" if config.compressor == "zstd" else ""
    return f"{bits}+{config.compressor}{level}"


def _part(name: str, entry: QuantisedTensor) -> str:
    if entry.form not in INTEGER_FORMS:
        return f"kept in {str(entry.values.dtype).removeprefix('torch.')}"
    return f"{part_of(name)} {entry.form}"


def _line(part: str, entries: list[QuantisedTensor], config: QuantConfig) -> Line:
    blobs = [tensor_bytes(t) for entry in entries for t in (entry.values, entry.scale) if t is not None]
    raw = b"".join(blobs)
    packed = len(compress(raw, config.compressor, min(config.compressor_level, QUICK_LEVEL)))
    return Line(part, len(entries), sum(entry.values.numel() for entry in entries), len(raw), packed)
