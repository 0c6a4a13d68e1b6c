"""What the script reads and writes: noted, not changed, except that CUDA tensors are loaded onto the CPU."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import re
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from auditor.behaviour.shims.context import ShimContext

_SPLITS = (("bytes", r"val.*bytes|bytes.*val"), ("tokenizer", r"\.(model|vocab)$|tokeni[sz]er.*\.json$"),
           ("train", r"train.*\.bin$"), ("val", r"val.*\.bin$"))  # fmt: skip
_LIBRARIES = tuple({sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.__file__), "/usr", "/lib"})
_IGNORED = (".py", ".pyc", ".so")
_LOGS = frozenset({"logs", "log"})


def split_of(path: str) -> str | None:
    """Which part of the data a file is by its name: train, val, bytes, tokenizer; None for anything else."""
    name = os.path.basename(path).lower()
    return next((split for split, pattern in _SPLITS if re.search(pattern, name)), None)


class Watch:
    """Turns openings into events, each once however many layers of libraries it passes."""

    def __init__(self, ctx: ShimContext) -> None:
        self._ctx, self._inside = ctx, threading.local()
        self._run_dir = os.path.realpath(ctx.run_dir)

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Within it openings are not noted: an outer layer has done so."""
        depth = getattr(self._inside, "depth", 0)
        self._inside.depth = depth + 1
        try:
            yield
        finally:
            self._inside.depth = depth

    def opened(self, path: Any, mode: str) -> str | None:
        """Note an opening; the absolute path when it is one of interest, else None."""
        if getattr(self._inside, "depth", 0) or not isinstance(path, str | bytes | os.PathLike):
            return None
        place = os.path.abspath(os.fsdecode(path))
        if place.endswith(_IGNORED) or (place.startswith(_LIBRARIES) and not place.startswith(self._run_dir)):
            return None
        self._ctx.emit("Opened", {"path": place, "mode": mode})
        split = split_of(place)
        if split is not None and "r" in mode:
            self._ctx.emit("Loaded", {"path": place, "split": split})
        elif self._is_artifact(place) and "r" in mode and os.path.isfile(place):
            self._ctx.emit("ArtifactRead", {"path": place, "bytes": os.path.getsize(place)})
        return place

    def written(self, path: str) -> None:
        """Note a file that has just been closed after writing."""
        if self._is_artifact(path) and os.path.isfile(path):
            self._ctx.emit("ArtifactWritten", {"path": path, "bytes": os.path.getsize(path)})

    def _is_artifact(self, path: str) -> bool:
        """Below the run folder, and neither data nor a log."""
        inside = os.path.relpath(os.path.realpath(path), self._run_dir)
        parts = inside.split(os.sep)
        return parts[0] not in ("..", "data") and not _LOGS & set(parts[:-1]) and not inside.endswith((".txt", ".log"))


def install(ctx: ShimContext) -> None:
    """Patch the ways of opening a file, torch.save and torch.load, and ``os.chdir``."""
    watch = Watch(ctx)
    _patch_open(ctx, watch)
    _patch_numpy(ctx, watch)
    _patch_torch(ctx, watch)
    _patch_chdir(ctx)


def _patch_open(ctx: ShimContext, watch: Watch) -> None:
    real, real_low = builtins.open, os.open

    def watched_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        writes = any(letter in mode for letter in "wax+")
        if writes:
            _make_log_folder(file)
        handle = real(file, mode, *args, **kwargs)
        place = watch.opened(file, mode)
        if writes and place is not None:
            _on_close(handle, lambda: watch.written(place))
        return handle

    def low_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        number = real_low(path, flags, *args, **kwargs)
        watch.opened(path, "w" if flags & (os.O_WRONLY | os.O_RDWR) else "r")
        return number

    ctx.patch(builtins, "open", watched_open)
    ctx.patch(io, "open", watched_open)
    ctx.patch(os, "open", low_open)


def _make_log_folder(file: Any) -> None:
    """Scripts that log into ``logs/`` expect the folder, which a launcher made."""
    if isinstance(file, str | os.PathLike):
        folder = os.path.dirname(os.fspath(file))
        if isinstance(folder, str) and os.path.basename(folder) in _LOGS:
            os.makedirs(folder, exist_ok=True)


def _on_close(handle: Any, then: Any) -> None:
    """Call ``then`` once after ``handle`` is closed, without keeping the handle alive."""
    reference, close = weakref.ref(handle), type(handle).close

    def closing() -> None:
        target = reference()
        if target is None:
            return
        already = target.closed
        close(target)
        if not already:
            then()

    with contextlib.suppress(AttributeError):
        handle.close = closing


def _patch_numpy(ctx: ShimContext, watch: Watch) -> None:
    fromfile, load, memmap = np.fromfile, np.load, np.memmap

    def watched_fromfile(file: Any, *args: Any, **kwargs: Any) -> Any:
        watch.opened(file, "rb")
        with watch.quiet():
            return fromfile(file, *args, **kwargs)

    def watched_load(file: Any, *args: Any, **kwargs: Any) -> Any:
        watch.opened(file, "rb")
        with watch.quiet():
            return load(file, *args, **kwargs)

    class WatchedMemmap(memmap):  # type: ignore[misc,valid-type]
        """``np.memmap`` that notes the file it maps."""

        def __new__(cls, filename: Any, *args: Any, **kwargs: Any) -> Any:
            mode = kwargs.get("mode", args[1] if len(args) > 1 else "r+")
            watch.opened(filename, str(mode))
            with watch.quiet():
                return super().__new__(cls, filename, *args, **kwargs)

    ctx.patch(np, "fromfile", watched_fromfile)
    ctx.patch(np, "load", watched_load)
    ctx.patch(np, "memmap", WatchedMemmap)


def _to_cpu(map_location: Any) -> Any:
    """``map_location`` with every CUDA device replaced by the CPU."""
    if isinstance(map_location, dict):
        return {source: _to_cpu(target) for source, target in map_location.items()}
    if isinstance(map_location, int):
        return "cpu"
    if isinstance(map_location, str | torch.device) and str(map_location).startswith("cuda"):
        return "cpu"
    return map_location


def _patch_torch(ctx: ShimContext, watch: Watch) -> None:
    save, load = torch.save, torch.load

    def watched_save(obj: Any, f: Any, *args: Any, **kwargs: Any) -> None:
        place = watch.opened(f, "wb")
        with watch.quiet():
            save(obj, f, *args, **kwargs)
        if place is not None:
            watch.written(place)

    def watched_load(f: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
        watch.opened(f, "rb")
        with watch.quiet():
            return load(f, _to_cpu(map_location), *args, **kwargs)

    ctx.patch(torch, "save", watched_save)
    ctx.patch(torch, "load", watched_load)
    ctx.patch(torch.serialization, "save", watched_save)
    ctx.patch(torch.serialization, "load", watched_load)


def _patch_chdir(ctx: ShimContext) -> None:
    real = os.chdir

    def chdir(path: Any) -> None:
        """A folder that is not there (the author's own machine) is noted, and the run stays where it is."""
        try:
            real(path)
        except FileNotFoundError:
            ctx.emit("Opened", {"path": os.fsdecode(path), "mode": "chdir, missing"})

    ctx.patch(os, "chdir", chdir)
