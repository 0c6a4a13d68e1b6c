"""Triton kernels, run one program instance after the other over torch tensors.

Triton's own interpreter is not used even where triton is installed: version 3.6 multiplies the bit patterns of bfloat16
matrices in ``tl.dot``. What is not imitated raises `GuestUnsupported` with its name when it is used, not on import.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import math
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.utils._triton

from auditor.behaviour.shims import triton_language as language
from auditor.behaviour.shims.context import ShimContext
from auditor.behaviour.shims.errors import GuestUnsupported
from auditor.behaviour.shims.modules import make_module, place_module
from auditor.behaviour.shims.triton_memory import TensorDescriptor, pointer

_LAUNCH = ("num_warps", "num_stages", "num_ctas", "maxnreg", "enable_fp_fusion", "launch_cooperative_grid", "stream",
           "launch_pdl", "cluster_dims", "grid", "warmup", "num_buffers_warp_spec", "num_consumer_groups")  # fmt: skip
_as_tensor = torch.as_tensor


class Config:
    """A configuration of the autotuner: values of compile-time arguments."""

    def __init__(self, kwargs: Mapping[str, Any] | None = None, *args: Any, **rest: Any) -> None:
        self.kwargs = dict(kwargs or {})
        self.num_warps, self.num_stages = rest.get("num_warps", 4), rest.get("num_stages", 2)


class _Immutable(ast.NodeTransformer):
    """``x += y`` becomes ``x = x + y``: blocks are values, and a tensor must not change under another name."""

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """Rewrite one assignment to a plain name."""
        self.generic_visit(node)
        if not isinstance(node.target, ast.Name):
            return node
        old = ast.Name(id=node.target.id, ctx=ast.Load())
        made = ast.Assign(targets=[node.target], value=ast.BinOp(left=old, op=node.op, right=node.value))
        return ast.copy_location(made, node)


def _prepared(function: Any) -> Callable[..., Any]:
    """``function`` without its decorators and without assignments in place; itself when its source is out of reach."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return function  # type: ignore[no-any-return]
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        return function  # type: ignore[no-any-return]
    definition.decorator_list = []
    for argument in ast.walk(definition.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    definition.returns = None
    tree = ast.fix_missing_locations(_Immutable().visit(tree))
    names: dict[str, Any] = {}
    exec(compile(tree, function.__code__.co_filename, "exec"), function.__globals__, names)
    made: Callable[..., Any] = names[definition.name]
    made.__defaults__, made.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    return made


_TOGETHER = frozenset({
    "program_id", "arange", "load", "store", "where", "exp", "exp2", "log", "log2", "sigmoid", "sqrt", "rsqrt", "abs",
    "max", "min", "sum", "maximum", "minimum", "cdiv", "constexpr", "float32", "float16", "bfloat16", "int32", "int64",
    "range",
})  # fmt: skip
"""What a kernel may use of ``triton.language`` for its instances to run at once."""
_LANES = 2048


def may_run_together(function: Any) -> bool:
    """Whether all blocks are one-dimensional and no branch depends on data: then instances differ in numbers only."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        return False
    if not isinstance(tree, ast.FunctionDef):
        return False
    constant = {arg.arg for arg in ast.walk(tree.args) if isinstance(arg, ast.arg) and arg.annotation is not None
                and "constexpr" in ast.unparse(arg.annotation)}  # fmt: skip
    return all(_harmless(node, constant) for statement in tree.body for node in ast.walk(statement))


def _harmless(node: ast.AST, constant: set[str]) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "to" or (ast.unparse(node.value) == "tl" and node.attr in _TOGETHER)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) or ast.unparse(node.func) in ("range", "float", "int")
    if isinstance(node, ast.If | ast.IfExp):
        return {name.id for name in ast.walk(node.test) if isinstance(name, ast.Name)} <= constant
    return not isinstance(node, ast.Subscript | ast.While | ast.BoolOp | ast.Return | ast.Lambda | ast.Assert)


def _batches(grid: tuple[int, ...]) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """The numbers of the instances, some at a time, each axis of shape [instances, 1]."""
    for start in range(0, math.prod(grid), _LANES):
        flat = torch.arange(start, min(start + _LANES, math.prod(grid)), dtype=torch.int32)[:, None]
        yield flat % grid[0], flat // grid[0] % grid[1], flat // (grid[0] * grid[1])


class Kernel:
    """A decorated function: ``kernel[grid](...)`` launches it, another kernel may call it."""

    def __init__(self, function: Any) -> None:
        self.fn = function
        self.__name__ = str(getattr(function, "__name__", function))
        self.signature = inspect.signature(function)
        self.defaults: dict[str, Any] = {}
        self.heuristics: dict[str, Callable[..., Any]] = {}
        self._run: Callable[..., Any] | None = None
        self._wide: bool | None = None

    @property
    def arg_names(self) -> list[str]:
        """The names of its arguments."""
        return list(self.signature.parameters)

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        return lambda *args, **kwargs: self.launch(grid, args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it from another kernel; raises RuntimeError outside of one, as triton does."""
        if not language.running():
            raise RuntimeError("Cannot call @triton.jit'd outside of the scope of a kernel")
        return self.body(*args, **kwargs)

    @property
    def body(self) -> Callable[..., Any]:
        """The function as it is run."""
        if self._run is None:
            self._run = _prepared(self.fn)
        return self._run

    def run(self, *args: Any, grid: Any, warmup: bool = False, **kwargs: Any) -> None:
        """``kernel.run(..., grid=...)``."""
        if not warmup:
            self.launch(grid, args, kwargs)

    def launch(self, grid: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Run every instance of the grid, in order."""
        given = {key: value for key, value in kwargs.items() if key in self.signature.parameters or key not in _LAUNCH}
        named = self.signature.bind_partial(*args, **given).arguments
        named = {**self.defaults, **named}
        for name, rule in self.heuristics.items():
            named[name] = rule(named)
        bound = self.signature.bind(**named)
        bound.apply_defaults()
        sizes = grid(dict(bound.arguments)) if callable(grid) else grid
        sizes = tuple(int(size) for size in (sizes if isinstance(sizes, tuple | list) else (sizes,)))
        with torch._C.DisableTorchFunction(), torch.no_grad():
            ready = {name: self._argument(name, value) for name, value in bound.arguments.items()}
            self._instances((*sizes, 1, 1)[:3], ready)

    def _instances(self, grid: tuple[int, ...], ready: dict[str, Any]) -> None:
        body = self.body
        if self._wide is None:
            self._wide = may_run_together(self.fn)
        try:
            if self._wide:
                for ids in _batches(grid):
                    language.set_lanes(ids, grid)
                    body(**ready)
                return
            for last, middle, first in itertools.product(*(range(size) for size in reversed(grid))):
                language.set_program((first, middle, last), grid)
                body(**ready)
        finally:
            language.stop()

    def _argument(self, name: str, value: Any) -> Any:
        """Tensors become pointers; numbers that are not compile-time constants become scalars."""
        if isinstance(value, torch.Tensor):
            return pointer(value)
        constant = "constexpr" in str(self.signature.parameters[name].annotation)
        if constant or isinstance(value, bool) or not isinstance(value, int | float):
            return value
        if isinstance(value, float):
            return _as_tensor(value, dtype=torch.float32)
        return _as_tensor(value, dtype=torch.int32 if abs(value) < 2**31 else torch.int64)

    def warmup(self, *args: Any, **kwargs: Any) -> Any:
        """Compiling ahead: not imitated."""
        raise GuestUnsupported(f"compiling triton kernel {self.__name__}")


class Name:
    """Anything else of ``triton``: it can be named and annotated with; calling it raises `GuestUnsupported`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Name:
        if name.startswith("__"):
            raise AttributeError(name)
        return Name(f"{self._name}.{name}")

    def __getitem__(self, key: Any) -> Name:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise `GuestUnsupported`."""
        raise GuestUnsupported(self._name)


def cdiv(x: int, y: int) -> int:
    """``x / y`` rounded up."""
    return -(-x // y)


def next_power_of_2(n: int) -> int:
    """The smallest power of two that is not below ``n`` (``n`` >= 1)."""
    return 1 << (n - 1).bit_length()


def jit(function: Any = None, **options: Any) -> Any:
    """``@triton.jit``, with and without brackets."""
    return Kernel if function is None else Kernel(function)


def autotune(configs: list[Config], *args: Any, **options: Any) -> Any:
    """``@triton.autotune``: the first configuration, always."""

    def choose(kernel: Kernel) -> Kernel:
        kernel.defaults.update(configs[0].kwargs if configs else {})
        return kernel

    return choose


def heuristics(values: Mapping[str, Callable[..., Any]]) -> Any:
    """``@triton.heuristics``: arguments computed from the others."""

    def choose(kernel: Kernel) -> Kernel:
        kernel.heuristics.update(values)
        return kernel

    return choose


def install(ctx: ShimContext) -> None:
    """Place the package ``triton`` and keep torch from looking for a real one."""
    for name in ("has_triton", "has_triton_package"):
        ctx.patch(torch.utils._triton, name, lambda *args: False)
    contents = {
        "__version__": "3.6.0", "jit": jit, "autotune": autotune, "heuristics": heuristics, "Config": Config,
        "cdiv": cdiv, "next_power_of_2": next_power_of_2, "set_allocator": lambda *args: None,
    }  # fmt: skip
    place_module(ctx, _open_module("triton", contents))
    functions = language.contents()
    holds: dict[str, dict[str, Any]] = {
        "triton.language": functions, "triton.language.math": functions, "triton.language.extra": {},
        "triton.language.extra.cuda": {}, "triton.language.extra.libdevice": functions, "triton.runtime": {},
        "triton.language.extra.cuda.libdevice": functions, "triton.testing": {}, "triton.tools": {},
        "triton.tools.tensor_descriptor": {"TensorDescriptor": TensorDescriptor}, "triton.compiler": {},
    }  # fmt: skip
    for name, held in holds.items():
        place_module(ctx, _open_module(name, held))


def _open_module(name: str, contents: Mapping[str, Any]) -> types.ModuleType:
    """A module in which every other name exists, as something that cannot be used."""

    def other(attribute: str) -> Name:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return Name(f"{name}.{attribute}")

    return make_module(name, {**contents, "__getattr__": other})
