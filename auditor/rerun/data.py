"""Is the data on this machine what the run needs? Shards counted, headers and sizes checked, checksums taken."""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HEADER_INTS = 256
MAGIC, VERSION = 20240520, 1
SHARD = re.compile(r"^fineweb_(train|val)_\d+\.bin$")
SAMPLE = 1 << 20
"""Bytes at either end of a training shard that its digest is of; other files are digested whole."""
CHUNK = 1 << 22
MOST_SHARDS = 5000
LINKED = 50
"""Entries of the data folder that a run gets to see."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One folder of shards. ``path`` is relative to the data folder."""

    path: str
    train_shards: int
    val_shards: int
    train_tokens: int
    val_tokens: int
    bytes: int
    digest: str = ""
    """SHA-256 over names, sizes and contents (of training shards both ends); empty: not taken."""


@dataclass(frozen=True, slots=True)
class DataCheck:
    """What was found. A re-run with problems is not started."""

    folder: str = ""
    datasets: tuple[Dataset, ...] = ()
    tokenizers: tuple[tuple[str, int, str], ...] = ()
    """(path, bytes, SHA-256)."""
    problems: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    """Names in the data folder, linked into the run's ``data``."""

    @property
    def digest(self) -> str:
        """Of everything that was digested; empty without data."""
        parts = [*(d.path + d.digest for d in self.datasets), *(name + sha for name, _, sha in self.tokenizers)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest() if parts else ""


def check(folder: Path | None, wanted: Sequence[str] = (), digests: bool = True) -> DataCheck:
    """Look through ``folder``; ``wanted`` are datasets that the submission names (none: all are checked)."""
    if folder is None:
        return DataCheck()
    if not folder.is_dir():
        return DataCheck(str(folder), problems=(f"--data {folder} is no folder",))
    problems: list[str] = []
    shards = _shards(folder)
    named = {top: files for top, files in shards.items() if Path(top).name in wanted}
    missing = [name for name in wanted if not any(Path(top).name == name for top in shards)]
    if missing:
        problems.append(f"no shards of {', '.join(sorted(missing))} under {folder}")
    chosen = sorted((named or shards).items())
    datasets = tuple(_dataset(folder, top, files, problems, digests) for top, files in chosen)
    if not shards:
        problems.append(f"{folder} has no shards (fineweb_train_*.bin, fineweb_val_*.bin)")
    tokenizers = tuple(
        (os.path.relpath(path, folder), path.stat().st_size, _digest([path], whole=True) if digests else "")
        for path in sorted(folder.glob("tokenizers/*.model")) + sorted(folder.glob("*.model"))
    )
    entries = tuple(sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))[:LINKED])
    return DataCheck(str(folder), datasets, tokenizers, tuple(problems), entries)


def names_in(text: str, values: Sequence[str]) -> tuple[str, ...]:
    """Names of datasets that settings (else the script itself) spell out: ``fineweb10B_sp1024``."""
    found = re.findall(r"datasets/(\w+)", " ".join(values)) or re.findall(r"datasets/(fineweb\w+)", text)
    return tuple(dict.fromkeys(found))


def _shards(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    count = 0
    for top, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        if Path(top).relative_to(folder).parts[3:]:
            folders[:] = []
        chosen = sorted(Path(top) / name for name in files if SHARD.match(name))
        count += len(chosen)
        if chosen and count <= MOST_SHARDS:
            found[os.path.relpath(top, folder)] = chosen
    return found


def _dataset(folder: Path, top: str, files: list[Path], problems: list[str], digests: bool) -> Dataset:
    counts = {"train": 0, "val": 0}
    tokens = {"train": 0, "val": 0}
    size = 0
    for path in files:
        split = path.name.split("_")[1]
        try:
            count, problem = header(path)
            size += path.stat().st_size
        except OSError as error:
            count, problem = 0, error.strerror or str(error)
        counts[split] += 1
        tokens[split] += count
        if problem:
            problems.append(f"{os.path.relpath(path, folder)}: {problem}")
    problems += [f"{top} has no {split} shard" for split, n in counts.items() if n == 0]
    taken = digests and not problems
    val = [p for p in files if "_val_" in p.name]
    train = [p for p in files if "_val_" not in p.name]
    digest = hashlib.sha256((_digest(val, True) + _digest(train, False)).encode()).hexdigest() if taken else ""
    return Dataset(top, counts["train"], counts["val"], tokens["train"], tokens["val"], size, digest)


def header(path: Path) -> tuple[int, str]:
    """(tokens, what is wrong with the shard: empty when nothing). OSError when it cannot be read."""
    with open(path, "rb") as file:
        head = file.read(HEADER_INTS * 4)
        size = os.fstat(file.fileno()).st_size
    if len(head) < HEADER_INTS * 4:
        return 0, f"{size} bytes are fewer than a header"
    magic, version, count = struct.unpack_from("<3i", head)
    if (magic, version) != (MAGIC, VERSION):
        return 0, f"its header begins with {magic}, {version}, not with {MAGIC}, {VERSION}"
    expected = HEADER_INTS * 4 + 2 * count
    if count < 0 or size != expected:
        return 0, f"its header states {count} tokens, which is {expected} bytes; it has {size}"
    return count, ""


def _digest(paths: Sequence[Path], whole: bool) -> str:
    total = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            total.update(f"{path.name} {size}\n".encode())
            if whole or size <= 2 * SAMPLE:
                while part := file.read(CHUNK):
                    total.update(part)
            else:
                total.update(file.read(SAMPLE))
                file.seek(size - SAMPLE)
                total.update(file.read(SAMPLE))
    return total.hexdigest()
