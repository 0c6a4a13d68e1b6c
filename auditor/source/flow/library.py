"""What library functions mean: files, environment, constructors, losses, optimizers, wrappers.

Names are canonical dotted names (``torch.nn.functional.cross_entropy``, ``builtins.print``). A name that is not
modelled mixes what its arguments are made of (`generic`), which keeps flows and invents none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from auditor.source.facts import Origin
from auditor.source.flow import derivatives, keyed_calls, outputs, scores, threads
from auditor.source.flow.builtin_calls import call_builtin
from auditor.source.flow.calibration import sampled
from auditor.source.flow.calls import Args, Kwargs, call_value
from auditor.source.flow.environment import getenv
from auditor.source.flow.files import LOADERS, SAVERS, dataset, listing, load, save
from auditor.source.flow.iteration import generic, peek
from auditor.source.flow.loops import truth_of
from auditor.source.flow.machine import Frame, Machine
from auditor.source.flow.targets import in_place
from auditor.source.flow.values import (
    EMPTY,
    HOLE,
    NONE,
    NOTHING,
    TRUE,
    UNKNOWN,
    Obj,
    Val,
    join,
    join_all,
    union,
)
from auditor.source.flow.written import moved

Handler = Callable[[Machine, Frame, ast.AST, Args, Kwargs], Val]

_IDENTITY = frozenset(
    [
        "torch.compile",
        "torch.jit.script",
        "torch.nn.parallel.DistributedDataParallel",
        "torch.nn.DataParallel",
        "torch.no_grad",
        "torch.inference_mode",
        "torch._dynamo.disable",
        "torch.compiler.disable",
        "functools.wraps",
        "torch.vmap",
        "torch.func.vmap",
        "torch.jit.trace",
        "functools.cache",
        "functools.lru_cache",
        "typing.cast",
        "torch.distributed.fsdp.FullyShardedDataParallel",
        "torch.from_numpy",
        "builtins.iter",
        "pathlib.Path",
        "numpy.ascontiguousarray",
        "builtins.reversed",
        "builtins.memoryview",
        "numpy.asarray",
        "torch.as_tensor",
        "torch.asarray",
        "torch.utils.checkpoint.checkpoint_sequential",
        "builtins.sorted",
        "torch.autograd.Variable",
    ]
)
_CONSTRUCTORS = re.compile(r"(torch|numpy|cupy|jax\.numpy)\.(zeros|ones|empty|full|eye)(_like)?$")
_ARRAYS = frozenset(
    [
        "torch.tensor",
        "numpy.array",
        "torch.Tensor",
        "torch.clone",
        "numpy.copy",
        "torch.FloatTensor",
        "torch.LongTensor",
    ]
)
_RANDOM = re.compile(
    r"(torch|numpy\.random|random|numpy)\.(rand|randn|randint|random|randperm|choice|normal|uniform|sample|integers|multinomial)\w*$"
)
SAMPLERS = frozenset({"multinomial", "argmax"})
"""Functions and methods that turn a model's output into tokens."""


def call_library(m: Machine, frame: Frame, node: ast.AST, name: str, args: Args, kwargs: Kwargs) -> Val:
    """Call the library function ``name``."""
    handler = _EXACT.get(name)
    if handler is not None:
        return handler(m, frame, node, args, kwargs)
    last = name.rpartition(".")[2]
    if name in _IDENTITY or last == "DistributedDataParallel":
        return args[0] if args else NOTHING
    if name in LOADERS:
        return load(
            m, node, args[0] if args else NOTHING, kwargs.get("mode") or (args[1] if len(args) > 1 else NONE), name
        )
    if name in SAVERS:
        return save(m, node, args, name)
    if _CONSTRUCTORS.match(name):
        return _constructor(m, args, kwargs, last)
    if name in _ARRAYS:
        return _array(m, args)
    if last in SAMPLERS:
        drawn = sampled(m, args, certain=last == "multinomial")
        if drawn is not None:
            return drawn
    if last in ("grad", "grad_and_value", "value_and_grad") and name.startswith(("torch.func.", "functorch.", "jax.")):
        return derivatives.transformed(m, frame, node, name, args, kwargs)
    if _RANDOM.match(name):
        return _random(m, args)
    if name.startswith("torch._foreach_") and name.endswith("_") and args:
        in_place(m, node, args[0], generic(m, args[1:], kwargs), key=None)
        return args[0]
    if name.startswith("torch.optim.") or last in ("AdamW8bit", "Adam8bit", "Muon", "Lion"):
        return _torch_optim(m, name, args, kwargs)
    if name.startswith(("torch.", "numpy.", "math.", "cupy.", "scipy.", "jax.")):
        special = scores.functional(m, node, last, args, kwargs)
        if special is not None:
            return special
    if (
        last[:1].isupper()
        or name.startswith("collections.")
        or "cpp_extension.load" in name
        or name == "ctypes.cdll.LoadLibrary"
    ):
        made = _opaque(m, name, args, kwargs)
        threads.remember_target(m, made, name, args, kwargs)
        return made
    if name.startswith("builtins."):
        return call_builtin(m, frame, node, last, args, kwargs)
    outputs.external(m, node, name, args)
    return generic(m, args, kwargs)


def _opaque(m: Machine, name: str, args: Args, kwargs: Kwargs) -> Val:
    """An object of a library's class."""
    if name == "argparse.ArgumentParser":
        return Val(objs=(m.new("parser", name),))
    obj = m.new("opaque", name)
    val = generic(m, args, kwargs)
    obj.labels, obj.deps = m.without(val.labels, "par") if name.startswith("torch.nn.") else val.labels, val.deps
    if name == "torch.nn.Parameter" or name == "torch.nn.parameter.Parameter":
        return _parameter(m, args)
    if name.startswith("torch.nn."):
        cell = m.weights_of(obj)
        for arg in (*args, *kwargs.values()):
            for part in (arg, peek(m, arg)):
                for other in part.objs:
                    if other.weights is not None:
                        m.merge_cells(cell, other.weights)
        if args and any(o.kind in ("list", "tuple", "instance", "opaque", "dict") for o in args[0].objs):
            obj.elem = peek(m, args[0]) if any(o.kind in ("list", "tuple") for o in args[0].objs) else join_all(args)
            obj.items = dict(args[0].objs[0].items or {}) if args[0].objs and args[0].objs[0].kind == "dict" else None
    elif name in ("collections.Counter", "collections.defaultdict", "collections.OrderedDict", "collections.deque"):
        obj.kind = "list" if name.endswith("deque") else "dict"
        obj.items = {} if obj.kind == "dict" else None
        if (
            name.endswith("defaultdict")
            and args
            and any(o.kind in ("function", "builtin", "class") for o in args[0].objs)
        ):
            inner = call_value(m, m.frame, m.frame.node or ast.Pass(), args[0], [], {})
            obj.elem = inner if inner.objs else None
            obj.labels = EMPTY
        return Val(objs=(obj,))
    return Val(objs=(obj,), text=val.text, deps=val.deps)


def _parameter(m: Machine, args: Args) -> Val:
    obj = m.new("cell", "parameter")
    obj.weights = m.new_cell(vector=True)
    obj.weights.labels = m.without(m.deep(args[0]), "par", "acc", "src") if args else EMPTY
    return Val(objs=(obj,))


def make_optimizer(m: Machine, name: str, args: Args, kwargs: Kwargs) -> Val:
    """An optimizer over the parameters among its arguments."""
    obj = m.new("optimizer", name)
    obj.labels = frozenset(m.of_kind(generic(m, args, kwargs).labels, "par"))
    obj.attrs["param_groups"] = Val(UNKNOWN, obj.labels)
    return Val(objs=(obj,))


def _torch_optim(m: Machine, name: str, args: Args, kwargs: Kwargs) -> Val:
    if ".lr_scheduler." in name or ".swa_utils" in name:
        return Val(objs=(m.new("scheduler", name),))
    return make_optimizer(m, name, args, kwargs)


def _constructor(m: Machine, args: Args, kwargs: Kwargs, last: str) -> Val:
    obj = m.new("cell", last)
    if "full" in last:
        obj.labels = m.deep(args[1]) if len(args) > 1 else EMPTY
    grad = kwargs.get("requires_grad")
    if grad is not None and truth_of(grad) is not False:
        obj.weights = m.new_cell(vector=True)
    return Val(objs=(obj,))


def _array(m: Machine, args: Args) -> Val:
    if not args:
        return NOTHING
    obj = m.new("cell", "array")
    val = args[0]
    obj.labels = m.deep(val)
    return Val(UNKNOWN, obj.labels, val.deps, (obj,))


def _random(m: Machine, args: Args) -> Val:
    return Val(UNKNOWN, frozenset({m.label("src", Origin.RANDOM, "", 0, "random"), m.label("gen")}), m.all_loops())


def _cross_entropy(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    logits = args[0] if args else kwargs.get("input", NOTHING)
    target = args[1] if len(args) > 1 else kwargs.get("target", kwargs.get("labels", NOTHING))
    return scores.score(m, node, m.without(m.deep(logits), "exp"), m.deep(target), union([logits, target])[1])


def _getenv(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    return getenv(m, node, args[0] if args else NOTHING, args[1] if len(args) > 1 else kwargs.get("default"))


def _join_path(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    labels, deps = union(args)
    text = "/".join(a.string if a.string is not None else HOLE for a in args)
    known = all(isinstance(a.const, str) for a in args)
    return Val(text if known else UNKNOWN, labels, deps, (), text)


def _partial(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("partial")
    obj.elem = args[0] if args else NOTHING
    obj.data = (args[1:], kwargs)
    return Val(objs=(obj,))


def deep_copy(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """``copy.deepcopy`` and ``copy.copy``: fresh objects with the same contents."""
    if not args:
        return NOTHING
    copies: list[Obj] = []
    for obj in args[0].objs:
        copy = m.new(obj.kind, obj.name)
        copy.cls, copy.data, copy.labels, copy.deps = obj.cls, obj.data, obj.labels, obj.deps
        copy.attrs, copy.elem = dict(obj.attrs), obj.elem
        copy.items = None if obj.items is None else dict(obj.items)
        if obj.weights is not None:
            copy.weights = m.new_cell(obj.weights.root().vector)
            copy.weights.labels = obj.weights.root().labels
        copies.append(copy)
    return Val(args[0].const, args[0].labels, args[0].deps, tuple(copies), args[0].text)


def _grad(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """``torch.autograd.grad(loss, parameters)``: what is done with the gradient is the update."""
    loss = args[0] if args else kwargs.get("outputs", NOTHING)
    return derivatives.explicit(m, loss, args[1] if len(args) > 1 else kwargs.get("inputs", NOTHING))


def _at(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """``numpy.add.at(table, key, value)`` and its kin."""
    if len(args) >= 2:
        in_place(m, node, args[0], args[2] if len(args) > 2 else NOTHING, key=args[1])
    return NONE


def _field(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """``dataclasses.field``: a default, or what makes one for each instance."""
    if "default" in kwargs:
        return kwargs["default"]
    obj = m.new("field")
    obj.elem = kwargs.get("default_factory")
    return Val(objs=(obj,))


def _gather_object(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    if len(args) >= 2:
        for obj in args[0].objs:
            m.taint(obj, m.deep(args[1]), args[1].deps)
            obj.elem = args[1] if obj.elem is None else join(obj.elem, args[1])
    return NONE


def _gather_to(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    into = args[1] if len(args) > 1 else kwargs.get("gather_list", kwargs.get("object_gather_list", NOTHING))
    return _gather_object(m, frame, node, [into, *args[:1]], {})


def _bytearray(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("list", "bytearray")
    obj.labels = m.deep(args[0]) if args and not args[0].known else EMPTY
    return Val(UNKNOWN, obj.labels, args[0].deps if args else EMPTY, (obj,))


def _copies(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    return NONE


def _true(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    return TRUE


def _unknown(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    return Val(UNKNOWN)


def _setting(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """Something about the machine that the run had and nobody recorded."""
    return Val(UNKNOWN, frozenset({m.label("cfg")}))


def _glob(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    obj = m.new("list")
    obj.elem = Val(UNKNOWN, EMPTY, EMPTY, (), args[0].string if args else None)
    return Val(objs=(obj,), text=args[0].string if args else None)


def _method_type(m: Machine, frame: Frame, node: ast.AST, args: Args, kwargs: Kwargs) -> Val:
    """``types.MethodType(function, owner)``."""
    obj = m.new("partial")
    obj.elem = args[0] if args else NOTHING
    obj.data = (args[1:2], {})
    return Val(objs=(obj,))


_EXACT: dict[str, Handler] = {
    "types.MethodType": _method_type,
    "os.environ.get": _getenv,
    "os.getenv": _getenv,
    "os.path.join": _join_path,
    "glob.glob": _glob,
    "glob.iglob": _glob,
    "functools.partial": _partial,
    "dataclasses.field": _field,
    "copy.deepcopy": deep_copy,
    "copy.copy": deep_copy,
    "torch.autograd.grad": _grad,
    **dict.fromkeys(("bisect.insort", "bisect.insort_left", "bisect.insort_right"), keyed_calls.insort),
    **dict.fromkeys(("bisect.bisect", "bisect.bisect_left", "bisect.bisect_right"), keyed_calls.bisect),
    **dict.fromkeys(("torch.searchsorted", "numpy.searchsorted"), keyed_calls.bisect),
    "torch.sparse_coo_tensor": keyed_calls.sparse,
    "torch.nn.utils.vector_to_parameters": keyed_calls.to_parameters,
    "torch.nn.utils.convert_parameters.vector_to_parameters": keyed_calls.to_parameters,
    "functools.reduce": derivatives.reduced,
    "torch.func.functional_call": derivatives.functional_call,
    "torch.nn.utils.stateless.functional_call": derivatives.functional_call,
    **dict.fromkeys(("os.replace", "os.rename", "shutil.move", "shutil.copy", "shutil.copyfile", "os.link"), moved),
    "os.listdir": listing,
    "os.scandir": listing,
    "datasets.load_dataset": dataset,
    "torch.nn.functional.cross_entropy": _cross_entropy,
    "torch.nn.functional.nll_loss": _cross_entropy,
    "torch.ops.aten.cross_entropy_loss": _cross_entropy,
    "numpy.add.at": _at,
    "numpy.maximum.at": _at,
    "numpy.subtract.at": _at,
    "torch.distributed.gather": _gather_to,
    "torch.distributed.gather_object": _gather_to,
    "builtins.bytearray": _bytearray,
    "torch.distributed.all_gather_into_tensor": _gather_object,
    "torch.distributed.all_gather_object": _gather_object,
    "torch.distributed.all_gather": _gather_object,
    "torch.distributed.all_reduce": _copies,
    "torch.distributed.broadcast": _copies,
    "torch.distributed.barrier": _copies,
    "torch.cuda.is_available": _true,
    "torch.distributed.is_available": _true,
    "os.path.exists": _setting,
    "torch.distributed.is_initialized": _true,
    "os.path.getsize": _unknown,
    "os.path.isfile": _setting,
    "torch.distributed.get_rank": lambda *a: Val(0),
    "torch.set_grad_enabled": _unknown,
    "time.time": _unknown,
    "time.perf_counter": _unknown,
    "os.path.isdir": _setting,
}
