"""Methods of tensors, models, optimizers, containers, strings and files, by name."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any

from auditor.source.flow import lookups, mixes, outputs, scores, threads
from auditor.source.flow.attributes import METADATA
from auditor.source.flow.calibration import sampled
from auditor.source.flow.calls import Args, Kwargs, call_value
from auditor.source.flow.container_methods import CONTAINERS, SCATTERS, scatter
from auditor.source.flow.environment import getenv
from auditor.source.flow.files import load, store
from auditor.source.flow.iteration import generic, peek
from auditor.source.flow.library import SAMPLERS
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.targets import in_place
from auditor.source.flow.texts import formatted
from auditor.source.flow.training_methods import TRAINING
from auditor.source.flow.values import EMPTY, HOLE, LONGEST, NONE, NOTHING, TRUE, UNKNOWN, Obj, Val, join
from auditor.source.flow.written import tofile

Method = Callable[[Machine, Frame, ast.AST, Val, Args, Kwargs], Val]

_KEEP = frozenset(
    [
        "to",
        "cuda",
        "cpu",
        "float",
        "half",
        "bfloat16",
        "double",
        "long",
        "int",
        "contiguous",
        "requires_grad_",
        "eval",
        "train",
        "numpy",
        "view",
        "reshape",
        "unsqueeze",
        "squeeze",
        "flatten",
        "expand",
        "transpose",
        "permute",
        "t",
        "ravel",
        "astype",
        "type",
        "pin_memory",
        "share_memory_",
        "expand_as",
        "view_as",
        "to_empty",
        "byte",
        "short",
        "resolve",
        "absolute",
        "unflatten",
        "detach",
        "detach_",
        "data_as",
        "bool",
        "tolist",
        "result",
        "as_posix",
        "expanduser",
    ]
)
_COPY = frozenset({"clone", "copy"})
_STRINGS = frozenset(
    [
        "lower",
        "upper",
        "strip",
        "rstrip",
        "lstrip",
        "replace",
        "split",
        "startswith",
        "endswith",
        "removeprefix",
        "removesuffix",
        "isdigit",
        "title",
    ]
)


def call_method(m: Machine, frame: Frame, node: ast.AST, owner: Val, name: str, args: Args, kwargs: Kwargs) -> Val:
    """``owner.name(*args)`` for an owner that is no user object."""
    if any(o.kind == "environ" for o in owner.objs):
        return _environ(m, node, name, args, kwargs)
    if any(o.kind == "super" for o in owner.objs):
        return _super(m, frame, node, owner, name, args, kwargs)
    handler = _METHODS.get(name)
    if handler is not None:
        return handler(m, frame, node, owner, args, kwargs)
    if name in _KEEP:
        return _keep(m, owner, name)
    if name in _COPY:
        return _copy(m, owner)
    if name in METADATA:
        return Val(UNKNOWN, EMPTY, EMPTY)
    if name in _STRINGS and isinstance(owner.const, str) and all(a.known for a in args):
        return _string(owner, name, args)
    if name in SCATTERS:
        return scatter(m, node, owner, args, kwargs)
    if name.endswith("_") and not name.startswith("_"):
        val = generic(m, args, kwargs)
        in_place(m, node, owner, val, key=None)
        return owner.with_labels(val.labels, val.deps)
    if name in ("argmax", "most_common"):
        lookups.hint(m, m.deep(owner))
    if name in SAMPLERS and (drawn := sampled(m, [owner, *args], certain=name == "multinomial")) is not None:
        return drawn
    special = scores.functional(m, node, name, [owner, *args], kwargs) if name not in ("mod", "take") else None
    if special is not None:
        return special
    parsers = [o for o in owner.objs if o.kind == "parser"]
    if parsers:
        return _parser(m, parsers[0], name, args, kwargs)
    if mixes.is_native(owner):
        mixes.native(m, node, args)
    callee = [a for a in args if any(o.kind in ("function", "method", "partial") for o in a.objs)]
    result = generic(m, [owner, *args], kwargs)
    if callee and name in ("submit", "map", "apply", "starmap", "apply_async", "run", "imap", "register_hook"):
        rest = [a if name in ("submit", "apply", "run") else peek(m, a) for a in args if a is not callee[0]]
        return join(result, call_value(m, frame, node, callee[0], rest, kwargs))
    return result


def _environ(m: Machine, node: ast.AST, name: str, args: Args, kwargs: Kwargs) -> Val:
    if name in ("get", "pop"):
        return getenv(m, node, args[0] if args else NOTHING, args[1] if len(args) > 1 else kwargs.get("default", NONE))
    if name == "setdefault" and len(args) > 1 and isinstance(args[0].const, str):
        if args[0].const not in m.launch.env and args[0].const not in m.environ:
            m.environ[args[0].const] = args[1]
        return getenv(m, node, args[0], args[1])
    if name == "update":
        for arg in (*args, *(Val(objs=(_as_dict(m, kwargs),)),)):
            for obj in arg.objs:
                for key, val in (obj.items or {}).items():
                    if isinstance(key, str):
                        m.environ[key] = val
    return NOTHING


def _as_dict(m: Machine, kwargs: Kwargs) -> Obj:
    obj = m.new("dict")
    obj.items = dict(kwargs)
    return obj


def _super(m: Machine, frame: Frame, node: ast.AST, owner: Val, name: str, args: Args, kwargs: Kwargs) -> Val:
    from auditor.source.flow.definitions import find_in_class

    for obj in owner.objs:
        self_obj, cls = obj.data if obj.data else (None, None)
        for base in cls.data["bases"] if cls is not None else []:
            found = find_in_class(base, name)
            if found is not None and self_obj is not None:
                return call_value(m, frame, node, found, [Val(objs=(self_obj,)), *args], kwargs)
        if self_obj is not None and name != "__init__":
            return call_method(m, frame, node, Val(objs=(self_obj,)), name, args, kwargs)
    return NONE


def _keep(m: Machine, owner: Val, name: str) -> Val:
    if name in ("requires_grad_",):
        for obj in owner.objs:
            if obj.kind == "cell" and obj.weights is None:
                obj.weights = m.new_cell(vector=True)
        if not owner.objs and not m.of_kind(owner.labels, "par"):
            obj = m.new("cell", "leaf")
            obj.labels = owner.labels
            obj.weights = m.new_cell(vector=True)
            return Val(UNKNOWN, owner.labels, owner.deps, (obj,))
    if name in ("detach", "numpy", "tolist") and any(o.weights is not None and o.kind == "cell" for o in owner.objs):
        return Val(UNKNOWN, m.without(m.deep(owner), "par"), owner.deps)
    return owner


def _copy(m: Machine, owner: Val) -> Val:
    kept = tuple(o for o in owner.objs if o.kind in ("dict", "list", "instance"))
    if kept:
        from auditor.source.flow.library import deep_copy

        return deep_copy(m, m.frame, ast.Pass(), [owner], {})
    labels = m.deep(owner)
    obj = m.new("cell", "copy")
    obj.labels = labels
    obj.data = next((o.data for o in owner.objs if o.data == "table"), None)
    return Val(UNKNOWN, labels, owner.deps, (obj,))


def _string(owner: Val, name: str, args: Args) -> Val:
    if math.prod(max(1, len(str(v.const))) for v in (owner, *args[-1:])) > 100 * LONGEST:  # a replacement multiplies
        return NOTHING
    try:
        result: Any = getattr(owner.const, name)(*(a.const for a in args))
    except (TypeError, ValueError):
        return NOTHING
    return Val(
        tuple(result) if isinstance(result, list) else result,
        owner.labels,
        owner.deps,
        (),
        owner.text if owner.text == "%env" else None,
    )


def _write(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    val = generic(m, args, kwargs)
    outputs.report(m, node, args)
    if any(o.kind == "file" for o in owner.objs):
        store(m, owner, val.labels)
    else:
        for obj in owner.objs:
            m.taint(obj, val.labels)
        if not owner.objs and owner.string:
            m.write_file(owner.string, m.without(val.labels, "par", "acc"))
    return NONE


def _read(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    files = [o for o in owner.objs if o.kind == "file"]
    if files:
        return Val(UNKNOWN, m.deep(owner), owner.deps | m.all_loops())
    if owner.objs:
        return generic(m, [owner, *args], kwargs)
    return load(m, node, owner, NONE, "read")


def _open(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    return load(m, node, owner, args[0] if args else kwargs.get("mode", NONE), "Path.open")


def _glob(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("list")
    text = f"{owner.string or ''}/{args[0].string or ''}" if args else owner.string
    obj.elem = Val(UNKNOWN, EMPTY, EMPTY, (), text)
    return Val(objs=(obj,), text=text)


def _log(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    if args:
        outputs.report(m, node, args)
        return NONE
    return scores.logarithm(m, node, [m.deep(owner)], owner.deps)


def _logged(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    outputs.report(m, node, args)
    return NONE


def _join(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    val = generic(m, args, kwargs)
    inner = peek(m, args[0]) if args else NOTHING
    return Val(UNKNOWN, val.labels | owner.labels, val.deps, (), inner.string)


def _format(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    val = generic(m, [owner, *args], kwargs)
    text = owner.string if owner.string is None else formatted(owner.string, args, kwargs)
    if text is not None and HOLE not in text and isinstance(owner.const, str):
        return Val(text, val.labels, val.deps)
    return Val(UNKNOWN, val.labels, val.deps, (), text)


def _min(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    inner = {s for o in owner.objs for s in m.of_kind(m.deep_obj(o), "nll")} | set(m.of_kind(owner.labels, "nll"))
    if len(inner) > 1 and (args or kwargs):
        first, *rest = sorted(inner)
        m.event("choice", node, m.deep(owner), first=frozenset({first}), second=frozenset(rest))
    return Val(UNKNOWN, generic(m, [owner, *args], kwargs).labels, owner.deps)


def _folder(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("list")
    obj.elem = Val(text=f"{owner.string or ''}/{HOLE}")
    return Val(objs=(obj,))


def _exists(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    return Val(UNKNOWN, frozenset({m.label("cfg")}))


def _gather(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    index = args[-1] if args else kwargs.get("index", NOTHING)
    base, key = m.deep(owner), m.deep(index)
    if scores.gathers_target(m, base, key):
        return scores.score(m, node, base, key, owner.deps | index.deps)
    return lookups.read(m, node, owner, index)


def _encode(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    if isinstance(owner.const, str):
        return Val(owner.const.encode("utf-8", "replace"))
    extra = frozenset({m.label("byte")}) if m.of_kind(owner.labels, "acc") else EMPTY
    return Val(UNKNOWN, m.deep(owner) | extra, owner.deps)


def _parser(m: Machine, obj: Obj, name: str, args: Args, kwargs: Kwargs) -> Val:
    """``argparse``: options with their defaults, overridden by the launch's arguments."""
    if name == "add_argument" and args and isinstance(args[-1].const, str):
        option = args[-1].const
        dest = kwargs.get("dest", Val(option.lstrip("-").replace("-", "_"))).const
        default = kwargs.get("default", NONE)
        action = kwargs.get("action", NONE).const
        if action == "store_true":
            default = Val(option in m.launch.argv)
        if option in m.launch.argv[:-1] and action is None:
            text = m.launch.argv[m.launch.argv.index(option) + 1]
            default = Val(_number(text))
        obj.attrs[str(dest)] = default
        return NOTHING
    if name in ("parse_args", "parse_known_args"):
        space = m.new("opaque", "argparse.Namespace")
        space.attrs = dict(obj.attrs)
        return Val(objs=(space,))
    return Val(objs=(obj,))


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _always(m: Machine, frame: Frame, node: ast.AST, owner: Val, args: Args, kwargs: Kwargs) -> Val:
    return TRUE


_METHODS: dict[str, Method] = {
    **TRAINING,
    **CONTAINERS,
    "start": threads.start,
    "put": threads.put,
    "put_nowait": threads.put,
    "write": _write,
    "writelines": _write,
    "tofile": tofile,
    "write_bytes": _write,
    "write_text": _write,
    "read": _read,
    "read_bytes": _read,
    "read_text": _read,
    "open": _open,
    "glob": _glob,
    "iterdir": _folder,
    "rglob": _glob,
    "log": _log,
    "info": _logged,
    "debug": _logged,
    "warning": _logged,
    "join": _join,
    "format": _format,
    "min": _min,
    "amin": _min,
    "exists": _exists,
    "is_file": _exists,
    "gather": _gather,
    "encode": _encode,
    "is_available": _always,
}
