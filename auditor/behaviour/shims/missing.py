"""Packages that this machine lacks: stand-ins that survive import where the script has no way round it.

An import inside a ``try`` that catches its failure fails as it would anywhere: the script has its own way round. An
unguarded one gets a stand-in: a logging package swallows every call, a computing package raises `GuestUnsupported` when
something of it is used.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import linecache
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from auditor.behaviour.shims.context import ShimContext
from auditor.behaviour.shims.errors import GuestUnsupported
from auditor.behaviour.shims.modules import place_module

SWALLOW = frozenset({
    "wandb", "tensorboard", "tensorboardX", "matplotlib", "seaborn", "psutil", "pynvml", "comet_ml", "mlflow",
    "neptune", "trackio", "swanlab", "aim", "rich", "colorama", "termcolor", "IPython", "plotly", "gputil", "GPUtil",
    "nvitop", "setproctitle", "python_minifier", "dotenv", "prettytable", "tabulate",
})  # fmt: skip
"""Packages whose effect no score depends on."""
COMPUTE = frozenset({
    "transformer_engine", "apex", "bitsandbytes", "liger_kernel", "mamba_ssm", "causal_conv1d", "torchao", "tiktoken",
    "datasets", "transformers", "tokenizers", "xformers", "fla", "einops", "lz4", "blosc2", "cutlass",
    "cupy", "sklearn", "pandas", "accelerate", "safetensors", "quack", "tilelang", "thunderkittens", "torchvision",
    "torchaudio", "pyarrow", "mlx", "jax", "tensorflow", "gram_newton_schulz", "soap", "heavyball", "muon", "dion",
    "constriction", "zstd", "snappy", "pyzstd", "cython", "pybind11", "torch_optimizer", "schedulefree", "lion_pytorch",
    "modal", "boto3", "natten", "flashinfer", "deepspeed", "fairscale", "lightning", "ray", "peft", "evaluate", "regex",
    "ftfy", "nltk", "networkx", "sympy", "yaml", "omegaconf", "hydra", "pydantic", "fire", "click",
})  # fmt: skip
"""Packages whose results matter: used, they stop the run."""
_CATCHING = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


class Silent:
    """Swallows whatever is done with it, and is an empty, false thing wherever a value is wanted."""

    def __call__(self, *args: Any, **kwargs: Any) -> Silent:
        """Swallowed."""
        return self

    def __getattr__(self, name: str) -> Silent:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> Silent:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        return None

    def __iter__(self) -> Any:
        return iter(())

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *error: Any) -> None:
        return None

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0

    def __int__(self) -> int:
        return 0

    def __float__(self) -> float:
        return 0.0

    def __index__(self) -> int:
        return 0

    def __add__(self, other: Any) -> Any:
        return other

    __radd__ = __sub__ = __mul__ = __truediv__ = __add__


class Unusable:
    """Something of a computing package: it can be named and subclassed, using it raises `GuestUnsupported`."""

    _path = "?"

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Raise `GuestUnsupported` with the full name."""
        raise GuestUnsupported(cls._path)


class _UnusableMeta(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return unusable(f"{cls.__dict__.get('_path', cls.__name__)}.{name}")


def unusable(path: str) -> Any:
    """A class called like the last part of ``path`` that cannot be instantiated or called."""
    return _UnusableMeta(path.rpartition(".")[2], (Unusable,), {"_path": path})


class StubModule(types.ModuleType):
    """A package any of whose attributes exists."""

    def __init__(self, name: str, attribute: Callable[[str], Any]) -> None:
        super().__init__(name)
        self.__dict__["_attribute"] = attribute

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__["_attribute"](f"{self.__name__}.{name}")


class StubFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The last finder on ``sys.meta_path``: reached only by imports that nothing else could satisfy."""

    def __init__(self, ctx: ShimContext) -> None:
        self._ctx = ctx

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A spec for a listed package, unless the script guards its import or only asks whether it is there."""
        top = fullname.partition(".")[0]
        if top not in SWALLOW | COMPUTE | _REAL.keys():
            return None
        if fullname == top and top not in _REAL and _has_way_round(self._ctx.run_dir):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """The stand-in; noted as "Stubbed"."""
        top = spec.name.partition(".")[0]
        self._ctx.emit("Stubbed", {"module": spec.name})
        module = StubModule(spec.name, _silent if top in SWALLOW else unusable)
        module.__dict__.update(_REAL.get(top, {}))
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


_SILENT = Silent()


def _silent(path: str) -> Silent:
    return _SILENT


def _njit(*args: Any, **options: Any) -> Any:
    """Numba's decorators leave the function to the interpreter: the same results, slower."""
    if len(args) == 1 and callable(args[0]) and not options:
        return args[0]
    return lambda function: function


class _Bar:
    """``tqdm``: iterates over what it is given."""

    def __init__(self, iterable: Iterable[Any] = (), *args: Any, **kwargs: Any) -> None:
        self.iterable, self.n, self.total = iterable, 0, kwargs.get("total")

    def __iter__(self) -> Any:
        return iter(self.iterable)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _SILENT

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: Any) -> None:
        return None

    @staticmethod
    def write(text: str, *args: Any, **kwargs: Any) -> None:
        """Print a line without a bar."""
        print(text)


_REAL: dict[str, dict[str, Any]] = {
    "numba": {"njit": _njit, "jit": _njit, "prange": range},
    "tqdm": {"tqdm": _Bar, "trange": lambda *args, **kwargs: _Bar(range(*args)), "notebook": _SILENT},
}
"""Stand-ins with the real meaning."""


def _has_way_round(run_dir: str) -> bool:
    """Whether the import now under way is guarded by the script, or is only a question (``find_spec``)."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.endswith("importlib/util.py") or "importlib.util" in name:
            return True
        if "importlib" not in name:
            return _guarded("".join(linecache.getlines(name, frame.f_globals)), frame.f_lineno)
        frame = frame.f_back
    return False


def _guarded(source: str, line: int) -> bool:
    """Whether ``line`` stands in the body of a ``try`` that catches a failed import."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and node.body[0].lineno <= line <= (node.body[-1].end_lineno or 0):
            caught = {ast.unparse(handler.type) if handler.type else "Exception" for handler in node.handlers}
            if any(name in text for name in _CATCHING for text in caught):
                return True
    return False


def install(ctx: ShimContext) -> None:
    """Append the finder; stubs made meanwhile leave ``sys.modules`` on ``ctx.restore()``."""
    finder = StubFinder(ctx)
    place_module(ctx, StubModule("torch.utils.tensorboard", _silent))
    sys.meta_path.append(finder)

    def undo() -> None:
        sys.meta_path.remove(finder)
        for name, module in list(sys.modules.items()):
            if isinstance(module, StubModule):
                del sys.modules[name]

    ctx.on_restore(undo)
