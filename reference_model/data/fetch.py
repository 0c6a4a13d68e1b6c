"""The competition's shards and tokenizers from Hugging Face, resumable and checked.

The dataset repository holds ``datasets/manifest.json``, ``datasets/datasets/fineweb10B_sp1024/*.bin`` and
``datasets/tokenizers/*``; below the folder that is written the first ``datasets/`` falls away. ``huggingface_hub`` is
optional (``pip install golf-audit[data]``) and imported only here, when it is needed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from .shards import DataError, read_shard

REPOSITORY = "willdepueoai/parameter-golf"
REMOTE_ROOT = "datasets"
PARTIAL = ".fetch"
"""Below the folder that is written: what is not whole yet, and what the hub's library notes to go on with it."""
Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes that are there, and all bytes."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its repository describes it."""

    path: str
    size: int
    sha256: str = ""
    """Hexadecimal; empty where the repository has none (small files)."""


class Hub(Protocol):
    """Where files come from."""

    def describe(self, paths: Iterable[str]) -> dict[str, RemoteFile]:
        """Those of ``paths`` that there are."""
        ...

    def download(self, path: str, folder: Path) -> Path:
        """Bring ``path`` below ``folder``, going on where an earlier call was interrupted."""
        ...


class HuggingFace:
    """The dataset repository ``repository``."""

    def __init__(self, repository: str = REPOSITORY) -> None:
        """Raises `DataError` where ``huggingface_hub`` is missing."""
        try:
            import huggingface_hub
        except ImportError:
            hint = "fetching data needs huggingface_hub: pip install 'golf-audit[data]', or make local data without it"
            raise DataError(hint) from None
        self._hub: Any = huggingface_hub
        self._failures = (OSError, huggingface_hub.errors.HfHubHTTPError)
        self.repository = repository

    def describe(self, paths: Iterable[str]) -> dict[str, RemoteFile]:
        """See `Hub`."""
        try:
            found = self._hub.HfApi().get_paths_info(self.repository, list(paths), repo_type="dataset")
        except self._failures as error:
            raise DataError(f"the repository {self.repository} does not answer: {error}") from error
        files = [info for info in found if hasattr(info, "size")]
        return {
            info.path: RemoteFile(info.path, int(info.size), str(info.lfs.sha256) if info.lfs else "") for info in files
        }

    def download(self, path: str, folder: Path) -> Path:
        """See `Hub`. Raises `DataError` where the network or the repository does not give it."""
        try:
            written = self._hub.hf_hub_download(self.repository, path, repo_type="dataset", local_dir=str(folder))
        except self._failures as error:
            raise DataError(f"{path} was not fetched, the same command goes on where it stopped: {error}") from error
        return Path(written)


def fetch(
    out: Path,
    variant: str = "sp1024",
    train_shards: int = 1,
    hub: Hub | None = None,
    on_progress: Progress | None = None,
) -> list[Path]:
    """Bring a dataset below ``out``: its validation shards, the first ``train_shards`` training shards, its tokenizer.

    A file that is there already and is right is not fetched again. Raises `DataError` where the repository lacks what
    is asked for, or a file's checksum is wrong, and OSError from the network or the disk.
    """
    hub = hub or HuggingFace()
    manifest = _manifest(hub, out)
    paths = wanted(manifest, variant, train_shards)
    known = hub.describe(paths)
    missing = [path for path in paths if path not in known]
    if missing:
        raise DataError(f"the repository has no {missing[0]}")
    stated = checksums(manifest)
    files = [known[path] for path in paths]
    total, done = sum(file.size for file in files), 0
    written: list[Path] = []
    for file in files:
        if on_progress is not None:
            on_progress(PurePosixPath(file.path).name, done, total)
        written.append(_one(hub, file, out, stated.get(PurePosixPath(file.path).name, "")))
        done += file.size
    if on_progress is not None:
        on_progress("done", total, total)
    shutil.rmtree(out / PARTIAL, ignore_errors=True)
    return written


def wanted(manifest: Mapping[str, Any], variant: str, train_shards: int) -> list[str]:
    """Paths in the repository of a dataset's files. Raises `DataError`."""
    datasets = {str(entry.get("name")): entry for entry in manifest.get("datasets", [])}
    name = f"fineweb10B_{variant}"
    if name not in datasets:
        there = ", ".join(sorted(key.removeprefix("fineweb10B_") for key in datasets))
        raise DataError(f"there is no variant {variant!r}; there are {there or 'none'}")
    stats = datasets[name].get("stats") or {}
    most = int(stats.get("files_train", 0))
    if not 0 <= train_shards <= most:
        raise DataError(f"{variant} has {most} training shards; {train_shards} were asked for")
    shards = [("val", index) for index in range(int(stats.get("files_val", 0)))]
    shards += [("train", index) for index in range(train_shards)]
    files = [f"{REMOTE_ROOT}/datasets/{name}/fineweb_{split}_{index:06d}.bin" for split, index in shards]
    return [f"{REMOTE_ROOT}/{path}" for path in _tokenizer_paths(manifest, datasets[name])] + files


def _tokenizer_paths(manifest: Mapping[str, Any], dataset: Mapping[str, Any]) -> list[str]:
    named = [entry for entry in manifest.get("tokenizers", []) if entry.get("name") == dataset.get("tokenizer_name")]
    paths = [str(entry[key]) for entry in named for key in ("model_path", "vocab_path", "path") if entry.get(key)]
    if not paths:
        raise DataError(f"the manifest names no tokenizer of {dataset.get('name')}")
    return paths


def checksums(manifest: Any) -> dict[str, str]:
    """SHA-256 by file name, wherever the manifest states one beside a path or name."""
    found: dict[str, str] = {}
    if isinstance(manifest, dict):
        digest = manifest.get("sha256")
        path = next((manifest[key] for key in ("path", "file", "filename", "name") if manifest.get(key)), None)
        if isinstance(digest, str) and isinstance(path, str):
            found[PurePosixPath(path).name] = digest.lower()
    for value in manifest.values() if isinstance(manifest, dict) else manifest if isinstance(manifest, list) else ():
        found |= checksums(value)
    return found


def _manifest(hub: Hub, out: Path) -> dict[str, Any]:
    path = _moved(hub.download(f"{REMOTE_ROOT}/manifest.json", out / PARTIAL), out / "manifest.json")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError("the repository's manifest.json is no JSON") from error
    if not isinstance(manifest, dict):
        raise DataError("the repository's manifest.json is no JSON object")
    return manifest


def _one(hub: Hub, file: RemoteFile, out: Path, stated: str) -> Path:
    """``file`` below ``out``, fetched where it is not there or not right."""
    target = _inside(out, file.path)
    expected = {digest.lower() for digest in (file.sha256, stated) if digest}
    if len(expected) > 1:
        raise DataError(f"{target.name} has one SHA-256 in the manifest and another in the repository")
    if target.is_file() and not _fault(target, file.size, expected):
        return target
    fetched = hub.download(file.path, out / PARTIAL)
    fault = _fault(fetched, file.size, expected)
    if fault:
        fetched.unlink()
        raise DataError(f"{target.name} came with {fault}; it was removed, fetch it again")
    return _moved(fetched, target)


def _fault(path: Path, size: int, sha256: set[str]) -> str:
    """What is wrong with a file; empty: nothing."""
    if path.stat().st_size != size:
        return f"{path.stat().st_size:,} bytes instead of {size:,}"
    if sha256:
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() not in sha256:
                return "a wrong SHA-256"
    elif path.suffix == ".bin":
        read_shard(path)
    return ""


def _inside(out: Path, path: str) -> Path:
    """Where a file of the repository is written. Raises `DataError` for a path that leads elsewhere."""
    parts = PurePosixPath(path).parts[1:]
    if not parts or ".." in parts or PurePosixPath(path).is_absolute():
        raise DataError(f"the manifest names a path that is not its own: {path!r}")
    return out.joinpath(*parts)


def _moved(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(source, target))
