"""The calls that a loader script makes: pure functions, decoders, files, the environment, and what it runs."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from auditor.intake.unpack import pure
from auditor.intake.unpack.bounded import Undecodable
from auditor.intake.unpack.expressions import Expressions
from auditor.intake.unpack.values import ROOT, Bound, Code, Func, Module, Opaque, Ref, Stream, VFile, VPath, normal

if TYPE_CHECKING:
    from auditor.intake.unpack.machine import Effects

_STARTS = {
    "subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.Popen", "subprocess.check_output",
    "os.system", "os.execv", "os.execvp", "os.execve", "os.execvpe", "os.execl", "os.execlp",
}
_LOADS_FILE = {
    "runpy.run_path": 0, "importlib.util.spec_from_file_location": 1, "importlib.machinery.SourceFileLoader": 1,
}


class Calls(Expressions):
    """The calling half of the machine. Effects are collected in ``effects``."""

    effects: Effects

    def __init__(
        self, path: str, files: dict[str, bytes], beside: Callable[[str], bytes | None], steps: int, limit: int
    ) -> None:
        super().__init__(steps)
        from auditor.intake.unpack.machine import Effects

        self.effects = Effects()
        self.path, self.files, self.beside, self.limit = path, files, beside, limit
        self.loaded: dict[str, str] = {}
        """Text of a shipped file that the script read, and the file's path."""

    def follow(self, function: Func, args: list[Any], options: dict[str, Any]) -> Any:
        """Enter a function of the script; overridden by the statement half."""
        raise NotImplementedError

    def call(self, function: Any, args: list[Any], options: dict[str, Any], node: ast.Call) -> Any:
        """Apply ``function``; what is not known gives an opaque value, never an error."""
        if isinstance(function, Opaque):
            return function
        if isinstance(function, Func):
            return self.follow(function, args, options)
        if isinstance(function, Bound):
            return self._method(function, args, options, node)
        if isinstance(function, Ref):
            return self._function(function.name.removeprefix("builtins."), args, options, node)
        raise Undecodable("a call of something unknown")

    def _function(self, name: str, args: list[Any], options: dict[str, Any], node: ast.Call) -> Any:
        if name in ("exec", "eval"):
            return self._exec(args, node)
        if name == "compile":
            return Code(args[0] if args else options.get("source"))
        if name in ("__import__", "importlib.import_module"):
            return self._import(args, node)
        if name == "getattr" and len(args) >= 2:
            return self.attribute(args[0], str(args[1]))
        if name in ("open", "io.open", "gzip.open", "lzma.open", "bz2.open"):
            return self._open(name, args, options)
        if name in _STARTS:
            return self._start(args, options, node)
        if name in _LOADS_FILE:
            return self._load_file(name, args, options, node)
        if name == "runpy.run_module":
            return self._import(args, node)
        if name.startswith("os.environ.") or name in ("os.getenv", "os.putenv"):
            return self._environ(name.rpartition(".")[2], args, options, node)
        if name in ("types.ModuleType", "imp.new_module"):
            return Module(str(args[0]))
        if name.startswith(("marshal.", "pickle.", "dill.", "cloudpickle.")):
            raise Undecodable(f"{name}() is not decoded here: its data are code objects, not text")
        return self._pure(name, args, options)

    def _pure(self, name: str, args: list[Any], options: dict[str, Any]) -> Any:
        if name in ("map", "filter") and len(args) >= 2:
            dummy = ast.Call(ast.Name("f", ast.Load()), [], [])
            results = [self.call(args[0], [item], {}, dummy) for item in args[1]]
            return results if name == "map" else [i for i, keep in zip(args[1], results, strict=True) if keep]
        if name in ("os.path.exists", "os.path.isfile", "os.path.getsize"):
            data = self._contents(args[0])
            return (
                (len(data) if data is not None else Opaque("the size of a file"))
                if "size" in name
                else data is not None
            )
        decoded = pure.decoder(name, args, options, self.limit)
        if decoded is not None:
            self.effects.layers.append(decoded[0])
            return decoded[1]
        if name in pure.STREAMS:
            return Stream(pure.STREAMS[name], tuple(args), options)
        if name in pure.FUNCTIONS:
            for value in (*args, *options.values()):
                if isinstance(value, Opaque):
                    return value
            return pure.FUNCTIONS[name](*args, **options)
        return Opaque(f"the result of {name}()")

    def _method(self, bound: Bound, args: list[Any], options: dict[str, Any], node: ast.Call) -> Any:
        owner, name = bound.owner, bound.name
        if isinstance(owner, VFile):
            return self._file_method(owner, name, args)
        if isinstance(owner, Stream):
            if name not in ("decompress", "process"):
                return b"" if name == "flush" else Opaque(f"a decompressor's {name}()")
            return self._pure(owner.function, [*args[:1], *owner.args], owner.options)
        if isinstance(owner, VPath):
            return self._path_method(owner, name, args)
        if isinstance(owner, Module):
            return Opaque(f"{owner.name}.{name}()")
        if name == "decode" and args and isinstance(owner, bytes):
            decoded = pure.decoder("bytes.decode", [owner, *args], {}, self.limit)
            if decoded is not None:
                return decoded[1]
        for value in args:
            if isinstance(value, Opaque):
                return value
        return pure.method(owner, name, args, options)

    def _path_method(self, path: VPath, name: str, args: list[Any]) -> Any:
        made = pure.path_method(path, name, args)
        if made is not None:
            return made
        if name in ("read_bytes", "read_text"):
            data = self._contents(path)
            if data is None:
                raise Undecodable(f"{path.text} is not among the files")
            return data if name == "read_bytes" else data.decode("utf-8", "replace")
        if name in ("write_bytes", "write_text"):
            self._write(path.text, args[0])
            return None
        if name == "open":
            return VFile(normal(path.text), str(args[0]) if args else "r")
        if name in ("exists", "is_file"):
            return self._contents(path) is not None
        return Opaque(f"a path's {name}()")

    def _file_method(self, file: VFile, name: str, args: list[Any]) -> Any:
        if name == "write":
            file.parts.append(args[0])
            self.close(file)
            return None
        if name in ("read", "readlines", "readline"):
            data = self._contents(file.path)
            if data is None:
                raise Undecodable(f"{file.path.removeprefix(ROOT + '/')} is not among the files")
            packed = file.mode.partition(":")[0]
            if packed in ("gzip", "lzma", "bz2"):
                layer, data = pure.decoder(f"{packed}.decompress", [data], {}, self.limit) or ("", data)
                self.effects.layers.append(layer)
            whole: str | bytes = data if "b" in file.mode.partition(":")[2] else data.decode("utf-8", "replace")
            if args and isinstance(args[0], int) and args[0] >= 0:
                whole = whole[: args[0]]
            return whole.splitlines(keepends=True) if name == "readlines" else whole
        return VPath(file.path) if name == "name" else Opaque(f"a file's {name}()")

    def close(self, file: VFile) -> None:
        """Store what was written to ``file``."""
        for part in file.parts:
            if isinstance(part, (str, bytes, bytearray)):
                old = self.files.get(file.path, b"") if "a" in file.mode or file.mode.endswith("+more") else b""
                self._write(
                    file.path, old + (part.encode("utf-8", "replace") if isinstance(part, str) else bytes(part))
                )
                file.mode += "+more" if not file.mode.endswith("+more") else ""
        file.parts.clear()

    def _write(self, path: str, data: Any) -> None:
        if isinstance(data, str):
            data = data.encode("utf-8", "replace")
        if isinstance(data, (bytes, bytearray)) and len(self.files) < 200 and len(data) <= self.limit:
            self.files[normal(path)] = bytes(data)

    def _contents(self, path: Any) -> bytes | None:
        full = normal(pure.text_of(path))
        if full in self.files:
            return self.files[full]
        if not full.startswith(ROOT + "/"):
            return None
        name = full.removeprefix(ROOT + "/")
        data = self.beside(name)
        if data is not None and name.endswith(".py"):
            self.loaded[data.decode("utf-8", "replace")] = name
        return data

    def _open(self, name: str, args: list[Any], options: dict[str, Any]) -> VFile:
        path = args[0].path if isinstance(args[0], VFile) else normal(pure.text_of(args[0]))
        mode = str(args[1] if len(args) > 1 else options.get("mode", "r" if name in ("open", "io.open") else "rb"))
        packed = name.partition(".")[0] if name in ("gzip.open", "lzma.open", "bz2.open") else ""
        return VFile(path, f"{packed}:{mode}")

    def _environ(self, name: str, args: list[Any], options: dict[str, Any], node: ast.Call) -> Any:
        if name in ("get", "getenv"):
            known = [v for n, v, _, _ in self.effects.env if n == args[0]]
            return known[-1] if known else (args[1] if len(args) > 1 else Opaque(f"the environment variable {args[0]}"))
        if name == "update":
            items = args[0] if args and isinstance(args[0], dict) else {}
            for key, value in {**items, **options}.items():
                self.set_env(key, value, node.lineno, only_if_unset=False)
        elif name in ("setdefault", "putenv") and len(args) == 2:
            self.set_env(args[0], args[1], node.lineno, only_if_unset=name == "setdefault")
        elif name == "copy":
            return Ref("os.environ")
        return None

    def set_env(self, name: Any, value: Any, line: int, *, only_if_unset: bool) -> None:
        """Note that the script sets an environment variable."""
        if isinstance(name, str) and isinstance(value, (str, int, float)) and len(self.effects.env) < 2_000:
            self.effects.env.append((name, str(value), line, only_if_unset))

    def _exec(self, args: list[Any], node: ast.Call) -> Any:
        from auditor.intake.unpack.machine import Run

        source = args[0] if args else Opaque("nothing")
        if isinstance(source, Code):
            source = source.source
        space = args[1] if len(args) > 1 else None
        module = space.name if isinstance(space, Module) else None
        run = Run(node.lineno, module=module, layers=tuple(self.effects.layers))
        if isinstance(source, (bytes, bytearray)):
            run.text = bytes(source).decode("utf-8", "replace")
        elif isinstance(source, str):
            run.text = source
        else:
            run.problem = source.reason if isinstance(source, Opaque) else "what it executes is not text"
        self.effects.runs.append(run)
        self.effects.layers.clear()
        return Opaque("the result of exec")

    def _import(self, args: list[Any], node: ast.Call) -> Any:
        from auditor.intake.unpack.machine import Run

        name = str(args[0])
        path = normal(name.replace(".", "/") + ".py")
        if self._contents(path) is not None:
            self.effects.runs.append(Run(node.lineno, path=path, module=name))
        return Ref(name)

    def _load_file(self, name: str, args: list[Any], options: dict[str, Any], node: ast.Call) -> Any:
        from auditor.intake.unpack.machine import Run

        at = _LOADS_FILE[name]
        path = args[at] if len(args) > at else options.get("location", options.get("path", options.get("path_name")))
        module = str(args[0]) if at == 1 and args and args[0] != "__main__" else None
        self.effects.runs.append(
            Run(node.lineno, path=normal(pure.text_of(path)), module=module, layers=tuple(self.effects.layers))
        )
        return Opaque(f"the result of {name}()")

    def _start(self, args: list[Any], options: dict[str, Any], node: ast.Call) -> Any:
        """A process: the first ``.py`` word of its command is what runs; an ``env=`` dictionary is noted."""
        from auditor.intake.unpack.machine import Run

        words: list[Any] = []
        for arg in args:
            if isinstance(arg, (list, tuple)):
                words.extend(arg)
            elif isinstance(arg, str):
                words.extend(shlex.split(arg, comments=True))
            else:
                words.append(arg)
        env = options.get("env")
        if isinstance(env, dict):
            for key, value in env.items():
                self.set_env(key, value, node.lineno, only_if_unset=False)
        for word in words:
            text = word.text if isinstance(word, VPath) else word
            if isinstance(text, str) and text.endswith(".py"):
                self.effects.runs.append(Run(node.lineno, path=normal(text), layers=tuple(self.effects.layers)))
                break
        return Opaque("the result of a process")
