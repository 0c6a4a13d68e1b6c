"""Where the toy files lie in the guest's folders."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import shards
from .spec import Stream, World, WorldSpec

GUEST_ROOT = "/golf"
GUEST_CWD = "/golf/run"


@dataclass(frozen=True, slots=True)
class Places:
    """Guest paths, relative to the guest's current directory or absolute."""

    data_dirs: tuple[str, ...] = ()
    """Folders of shards."""
    tokenizer_paths: tuple[str, ...] = ()
    """SentencePiece model files; a ``.vocab`` is laid beside each."""
    byte_side_dirs: tuple[str, ...] = ()
    """Folders for ``fineweb_val_bytes_*.bin``; the data folders have them too where the tokenizer is ``caseops``."""


def default_places(spec: WorldSpec) -> Places:
    """Where the competition's own script looks."""
    size = spec.vocab_size
    name = f"byte{size}" if spec.tokenizer == "bytes" else f"sp{size}"
    return Places((f"data/datasets/fineweb10B_{name}",), (f"data/tokenizers/fineweb_{size}_bpe.model",))


def host_path(root: Path, guest: str) -> Path:
    """Where a guest path lies under ``root``: /golf is ``root`` itself, any other absolute path ``root/abs/<path>``."""
    path = posixpath.normpath(posixpath.join(GUEST_CWD, guest))
    if path == GUEST_ROOT or path.startswith(GUEST_ROOT + "/"):
        return root / path[len(GUEST_ROOT) :].lstrip("/")
    return root / "abs" / path.lstrip("/")


def lay_out(world: World, stream: Stream, root: Path, places: Places | None = None) -> None:
    """Write all toy files of ``world`` with ``stream`` as its validation stream, at the default and given places."""
    merged = _merge(world.spec, places)
    for folder in merged.data_dirs:
        for index, shard in enumerate(world.train):
            shards.write_shard(host_path(root, folder) / f"fineweb_train_{index:06d}.bin", shard.tokens)
    for guest in merged.tokenizer_paths:
        path = host_path(root, guest)
        shards.write_file(path, world.tokenizer)
        if path.suffix == ".model":
            shards.write_file(path.with_suffix(".vocab"), _vocab(world))
    swap_val(stream, root, merged, world.spec)


def swap_val(stream: Stream, root: Path, places: Places | None, spec: WorldSpec) -> None:
    """Write the validation files only, each in one step, with the same size and date as before."""
    for path, content in _val_files(stream, root, _merge(spec, places), spec):
        shards.write_file(path, content)


def _val_files(stream: Stream, root: Path, places: Places, spec: WorldSpec) -> Iterator[tuple[Path, bytes]]:
    for folder in places.data_dirs:
        yield host_path(root, folder) / "fineweb_val_000000.bin", shards.shard_bytes(stream.tokens)
    sides = {*places.byte_side_dirs, *(places.data_dirs if spec.tokenizer == "caseops" else ())}
    for folder in sorted(sides):
        content = shards.shard_bytes(stream.bytes.astype("<u2"))
        yield host_path(root, folder) / "fineweb_val_bytes_000000.bin", content


def _merge(spec: WorldSpec, places: Places | None) -> Places:
    base, more = default_places(spec), places or Places()
    return Places(
        tuple(dict.fromkeys(base.data_dirs + more.data_dirs)),
        tuple(dict.fromkeys(base.tokenizer_paths + more.tokenizer_paths)),
        tuple(dict.fromkeys(base.byte_side_dirs + more.byte_side_dirs)),
    )


def _vocab(world: World) -> bytes:
    lines = (f"{piece}\t{-index if index > 3 else 0}\n" for index, piece in enumerate(world.pieces))
    return "".join(lines).encode()
