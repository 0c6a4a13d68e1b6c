"""Files: what is loaded from a split, what this run wrote and reads again, what is external."""

from __future__ import annotations

import ast
import re

from auditor.source.facts import Origin
from auditor.source.flow.calls import Args
from auditor.source.flow.iteration import generic
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.values import (
    EMPTY,
    HOLE,
    NONE,
    UNKNOWN,
    Labels,
    Val,
)
from auditor.source.flow.written import part

LOADERS = frozenset(
    [
        "numpy.fromfile",
        "numpy.memmap",
        "numpy.load",
        "torch.load",
        "torch.from_file",
        "numpy.loadtxt",
        "pickle.load",
        "json.load",
        "safetensors.torch.load_file",
        "numpy.genfromtxt",
        "torch.jit.load",
        "builtins.open",
        "gzip.open",
        "lzma.open",
        "bz2.open",
    ]
)


SAVERS = frozenset(
    [
        "torch.save",
        "numpy.save",
        "numpy.savez",
        "numpy.savez_compressed",
        "pickle.dump",
        "json.dump",
        "safetensors.torch.save_file",
    ]
)


_VAL = re.compile(r"(^|[^a-z])(val|valid|validation|eval)([^a-z]|$)|fineweb_val|val_files|valset")


_TRAIN = re.compile(r"(^|[^a-z])train([^a-z]|$)|fineweb_train")


_NOT_TOKENS = re.compile(r"\.(model|json|vocab|txt|log|pt|ptz|py|pth|so|c|npz|md|csv)$|bytes_|tokenizer")


def origin_of(path: str | None) -> Origin | None:
    """Which split a path names, judged by its last part first."""
    if not path:
        return None
    lowered = path.lower().replace("\\", "/")
    if _NOT_TOKENS.search(lowered.rpartition("/")[2]):
        return None
    for text in (lowered.rpartition("/")[2], lowered):
        val, train = bool(_VAL.search(text)), bool(_TRAIN.search(text))
        if val != train:
            return Origin.VAL if val else Origin.TRAIN
    return None


def load(m: Machine, node: ast.AST, path: Val, mode: Val, name: str) -> Val:
    """Read a file: what this run wrote there, a data split, or an external file."""
    writing = isinstance(mode.const, str) and any(c in mode.const for c in "wax")
    text = path.string
    if name.endswith("open"):
        obj = m.new("file", text or HOLE)
        obj.attrs["%path"] = path
        if writing:
            obj.data = "write"
            return Val(objs=(obj,), text=text)
    labels = EMPTY
    deep = m.deep(path)
    written = m.read_file(text)
    handle = next((o for o in path.objs if o.kind == "file"), None)
    if written is not None and handle is not None and name == "numpy.fromfile":
        written = part(m, handle) or written
    origin = origin_of(text)
    if written is not None:
        labels = written
    elif origin is not None:
        labels = m.source(node, origin, text or "")
    elif deep:
        labels = deep
    elif text is not None and not re.search(r"\.(model|py|log|txt|md)$", text.lower()):
        site = m.site(node)
        labels = frozenset({m.label("ext", site.file, site.line, text)})
    if name.endswith("open"):
        obj.labels = labels
        return Val(objs=(obj,), text=text)
    return Val(UNKNOWN, labels, path.deps | m.all_loops(), (), text if not labels else None)


def listing(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: dict[str, Val]) -> Val:
    """``os.listdir(folder)``: names of which nothing is known."""
    obj = m.new("list")
    obj.elem = Val(text=HOLE)
    return Val(objs=(obj,))


def dataset(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: dict[str, Val]) -> Val:
    """``load_dataset(name, split=...)``: the split that is named, else external data."""
    said = [a.string for a in (kwargs.get("split", NONE), *args[1:], *args[:1], *kwargs.values()) if a.string]
    for text in said:
        origin = origin_of(text)
        if origin is not None:
            return Val(UNKNOWN, m.source(node, origin, text), m.all_loops())
    site = m.site(node)
    return Val(UNKNOWN, frozenset({m.label("ext", site.file, site.line, "/".join(said))}), m.all_loops())


def save(m: Machine, node: ast.AST, args: Args, name: str) -> Val:
    """``torch.save(value, where)`` and its kin."""
    if name.startswith("numpy."):
        args = [generic(m, args[1:], {}), args[0]] if len(args) > 1 else args
    if len(args) < 2:
        return NONE
    labels = m.without(m.deep(args[0], 4), "par", "acc")
    store(m, args[1], labels)
    return NONE


def store(m: Machine, where: Val, labels: Labels) -> None:
    """Something made of ``labels`` goes to a path, a file or a buffer."""
    buffers = [o for o in where.objs if o.kind in ("opaque", "cell", "list")]
    for obj in buffers:
        m.taint(obj, labels)
    for obj in where.objs:
        if obj.kind == "file":
            m.write_file(obj.attrs["%path"].string, labels)
    if not where.objs and where.string is not None:
        m.write_file(where.string, labels)
