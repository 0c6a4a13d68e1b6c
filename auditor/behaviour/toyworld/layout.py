"""Where the toy files lie in the guest's folders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from . import pieces, shards
from .files import host_relative, write_inside
from .sidefiles import byte_tokenizer_json, tokenizer_meta, vocab_lines
from .spec import Stream, World, WorldSpec

_TRAIN, _VAL, _VAL_BYTES = "fineweb_train_{:06d}.bin", "fineweb_val_000000.bin", "fineweb_val_bytes_000000.bin"
_CASEOPS = "lossless_caps_caseops_v1_reserved"


@dataclass(frozen=True, slots=True)
class Places:
    """Guest paths, relative to the guest's current directory or absolute."""

    data_dirs: tuple[str, ...] = ()
    """Folders of shards."""
    tokenizer_paths: tuple[str, ...] = ()
    """Tokenizer files, by their ending: ``.json`` (byte tokenizer), ``.npz`` (byte tables), ``.vocab`` (piece list),
    anything else a SentencePiece model; a ``.model`` gets a ``.vocab`` beside it."""
    byte_side_dirs: tuple[str, ...] = ()
    """Folders for ``fineweb_val_bytes_*.bin``; the default ones of a ``caseops`` world are among them."""


def default_places(spec: WorldSpec) -> Places:
    """Where the competition's own script looks, and those that the community's data sets made usual."""
    size = spec.vocab_size
    if spec.tokenizer == "bytes":
        return Places((f"data/datasets/fineweb10B_byte{size}",), (f"data/tokenizers/fineweb_pure_byte_{size}.json",))
    plain = Places((f"data/datasets/fineweb10B_sp{size}",), (f"data/tokenizers/fineweb_{size}_bpe.model",))
    if spec.tokenizer != "caseops":
        return plain
    base = f"data/datasets/fineweb10B_sp{size}_caseops/datasets"
    folders = (f"{base}/datasets/fineweb10B_sp{size}_{_CASEOPS}", f"data/datasets/fineweb10B_sp{size}_{_CASEOPS}")
    name = f"tokenizers/fineweb_{size}_bpe_{_CASEOPS}.model"
    return Places(folders + plain.data_dirs, (f"{base}/{name}", f"data/{name}", *plain.tokenizer_paths), folders)


def lay_out(world: World, stream: Stream, root: Path, places: Places | None = None) -> Places:
    """Write all toy files of ``world`` with ``stream`` as its validation stream, at the default and given places.

    ``root`` exists and holds what the sandbox mounts at /golf; absolute guest paths outside /golf go below
    ``root/abs``. A file that is already at one of the places is replaced. Returns all places, for ``swap_val``.

    Raises:
        OSError: a part of a path is a link or a file, or the disk refuses.
        ValueError: an empty path.
    """
    merged = _merge(default_places(world.spec), places or Places())
    for folder in merged.data_dirs:
        for index, shard in enumerate(world.train):
            _write(root, folder, _TRAIN.format(index), shards.shard_bytes(shard.tokens))
    for guest in merged.tokenizer_paths:
        _write(root, guest, "", _tokenizer_file(world, guest))
        if guest.endswith(".model"):
            _write(root, guest.removesuffix(".model") + ".vocab", "", vocab_lines(world.pieces))
    swap_val(stream, root, merged)
    return merged


def swap_val(stream: Stream, root: Path, places: Places) -> None:
    """Write the validation files only, each in one step; ``places`` is what ``lay_out`` returned.

    A stream of the same length gives files of the same size and date.

    Raises:
        OSError: a part of a path was made a link or a file meanwhile, or the disk refuses.
    """
    for folder in places.data_dirs:
        _write(root, folder, _VAL, shards.shard_bytes(stream.tokens))
    for folder in places.byte_side_dirs:
        _write(root, folder, _VAL_BYTES, shards.shard_bytes(stream.bytes))


def _write(root: Path, guest: str, name: str, content: bytes) -> None:
    path = host_relative(guest)
    write_inside(root, f"{path}/{name}".strip("/") if name else path, content)


def _tokenizer_file(world: World, guest: str) -> bytes:
    if guest.endswith(".json"):
        return json.dumps(byte_tokenizer_json(world.spec), indent=2).encode()
    if guest.endswith(".npz"):
        return tokenizer_meta(pieces.of(world.spec))
    return vocab_lines(world.pieces) if guest.endswith(".vocab") else world.tokenizer


def _merge(base: Places, more: Places) -> Places:
    return Places(
        tuple(dict.fromkeys(base.data_dirs + more.data_dirs)),
        tuple(dict.fromkeys(base.tokenizer_paths + more.tokenizer_paths)),
        tuple(dict.fromkeys(base.byte_side_dirs + more.byte_side_dirs)),
    )
