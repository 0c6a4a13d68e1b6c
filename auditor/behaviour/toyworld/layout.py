"""Where the toy files lie in the guest's folders.

What is laid out follows from a reading of 200 submissions drawn at random: 197 read shards of this format, all with
uint16 tokens and any number of files; 15 look for byte side files beside them, 2 for tables of bytes per piece, 1 for a
byte tokenizer. The other three: one makes its own data from parquet files with tiktoken (not laid out), in two no
reading of shards is to be seen. None needs the documents as JSON lines, a manifest, or tokens of another width.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import pieces, shards
from .files import host_relative, write_inside
from .sidefiles import byte_tokenizer_json, tokenizer_meta, vocab_lines
from .spec import Stream, World, WorldSpec

_TRAIN, _VAL, _VAL_BYTES = "fineweb_train_{:06d}.bin", "fineweb_val_000000.bin", "fineweb_val_bytes_000000.bin"
_Files = Sequence[tuple[str, bytes]]
"""Name below a place ("" for the place itself) and content."""
_CASEOPS = "lossless_caps_caseops_v1_reserved"


@dataclass(frozen=True, slots=True)
class Places:
    """Guest paths, relative to the guest's current directory or absolute."""

    data_dirs: tuple[str, ...] = ()
    """Folders of shards."""
    tokenizer_paths: tuple[str, ...] = ()
    """Tokenizer files, by their ending: ``.json`` (byte tokenizer), ``.npz`` (byte tables), ``.vocab`` (piece list),
    anything else a SentencePiece model; a ``.model`` asked for brings its ``.vocab``."""
    byte_side_dirs: tuple[str, ...] = ()
    """Folders for ``fineweb_val_bytes_*.bin``; in a ``caseops`` world every data folder is one."""
    train_files: tuple[str, ...] = ()
    """Files that shall hold the first training shard, where a script has a name of its own for it."""
    val_files: tuple[str, ...] = ()
    """Files that shall hold the validation shard, likewise."""
    refused: tuple[str, ...] = ()
    """Set by ``lay_out``: places asked for that could not be written, each with the reason."""


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
    return Places(folders + plain.data_dirs, (f"{base}/{name}", f"data/{name}", *plain.tokenizer_paths))


def lay_out(world: World, stream: Stream, root: Path, places: Places | None = None) -> Places:
    """Write all toy files of ``world`` with ``stream`` as its validation stream, at the default and given places.

    ``root`` exists and holds what the sandbox mounts at /golf; absolute guest paths outside /golf go below
    ``root/abs``. A file that is already at one of the places is replaced, so a shipped tokenizer becomes the toy one.
    Returns the places written, for ``swap_val``; those given that could not be are in ``refused``.

    Raises:
        OSError: a part of a default path is a link or a file, or the disk refuses.
    """
    base, wanted = default_places(world.spec), _merge(world.spec, places or Places())
    refused: list[str] = []

    def written(guests: tuple[str, ...], fixed: tuple[str, ...], files: Callable[[str], _Files]) -> tuple[str, ...]:
        return tuple(guest for guest in guests if _put(root, guest, files(guest), guest in fixed, refused))

    train = [(_TRAIN.format(index), shards.shard_bytes(shard.tokens)) for index, shard in enumerate(world.train)]
    sides = [(_VAL_BYTES, shards.shard_bytes(stream.bytes))]
    done = Places(
        written(wanted.data_dirs, base.data_dirs, lambda _: train),
        written(wanted.tokenizer_paths, base.tokenizer_paths, lambda guest: _tokenizer_files(world, guest)),
        written(wanted.byte_side_dirs, base.data_dirs, lambda _: sides),
        written(wanted.train_files, (), lambda _: [("", content) for _, content in train[:1]]),
        written(wanted.val_files, (), lambda _: [("", shards.shard_bytes(stream.tokens))]),
        tuple(refused),
    )
    swap_val(stream, root, done)
    return done


def swap_val(stream: Stream, root: Path, places: Places) -> None:
    """Write the validation files only, each in one step; ``places`` is what ``lay_out`` returned.

    A stream of the same length gives files of the same size and date.

    Raises:
        OSError: a part of a path was made a link or a file meanwhile, or the disk refuses.
    """
    for folder in places.data_dirs:
        _write(root, folder, _VAL, shards.shard_bytes(stream.tokens))
    for guest in places.val_files:
        _write(root, guest, "", shards.shard_bytes(stream.tokens))
    for folder in places.byte_side_dirs:
        _write(root, folder, _VAL_BYTES, shards.shard_bytes(stream.bytes))


def _write(root: Path, guest: str, name: str, content: bytes) -> None:
    write_inside(root, "/".join(part for part in (host_relative(guest), name) if part), content)


def _put(root: Path, guest: str, files: _Files, must: bool, refused: list[str]) -> bool:
    try:
        for name, content in files:
            _write(root, guest, name, content)
    except (OSError, ValueError) as error:
        if must:
            raise
        reason = error.strerror if isinstance(error, OSError) else str(error)
        refused.append(f"{guest}: {reason}")
        return False
    return True


def _tokenizer_files(world: World, guest: str) -> _Files:
    """The file for ``guest`` itself (name "") by its ending."""
    if guest.endswith(".json"):
        return [("", json.dumps(byte_tokenizer_json(world.spec), indent=2).encode())]
    if guest.endswith(".npz"):
        return [("", tokenizer_meta(pieces.of(world.spec)))]
    return [("", vocab_lines(world.pieces) if guest.endswith(".vocab") else world.tokenizer)]


def _merge(spec: WorldSpec, more: Places) -> Places:
    base = default_places(spec)
    folders = tuple(dict.fromkeys(base.data_dirs + more.data_dirs))
    sides = (*more.byte_side_dirs, *(folders if spec.tokenizer == "caseops" else ()))
    models = base.tokenizer_paths + more.tokenizer_paths
    lists = tuple(path.removesuffix(".model") + ".vocab" for path in models if path.endswith(".model"))
    tokenizers = tuple(dict.fromkeys(models + lists))
    return Places(folders, tokenizers, tuple(dict.fromkeys(sides)), more.train_files, more.val_files)
