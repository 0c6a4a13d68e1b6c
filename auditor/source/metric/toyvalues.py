"""The toy vocabulary of ten tokens, tables over it, and what the tokenizer and a few builtins answer."""

from __future__ import annotations

from typing import Any


class Opaque:
    """A value that is not known."""

    def __repr__(self) -> str:
        return "OPAQUE"


OPAQUE = Opaque()

SPACE = "\u2581"
PIECES = ("<unk>", "<s>", "</s>", "<0x41>", SPACE, SPACE + "abc", "abc", "\u00e9", SPACE + "\u00e9", "<unused0>")
UNKNOWN_ID, CONTROL_ID, BYTE_ID, LONE_SPACE_ID, SPACED_ID, PLAIN_ID, ACCENT_ID, UNUSED_ID = 0, 1, 3, 4, 5, 6, 7, 9
MAX_TEXT = 4_000

TOKENIZER_CALLS = frozenset(
    {
        "id_to_piece",
        "IdToPiece",
        "is_byte",
        "IsByte",
        "is_control",
        "IsControl",
        "is_unknown",
        "IsUnknown",
        "is_unused",
        "IsUnused",
    }
)
_PASS_CALLS = frozenset(
    {
        "tensor",
        "as_tensor",
        "from_numpy",
        "asarray",
        "array",
        "ascontiguousarray",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "float32",
        "float64",
        "bool_",
        "list",
        "tuple",
        "frombuffer",
        "fromiter",
    }
)
TEXT_METHODS = frozenset(
    {
        "startswith",
        "endswith",
        "encode",
        "decode",
        "replace",
        "lstrip",
        "rstrip",
        "strip",
        "lower",
        "upper",
        "casefold",
        "isspace",
        "removeprefix",
        "removesuffix",
        "isascii",
        "isalpha",
        "count",
        "find",
        "isalnum",
        "isdigit",
    }
)


class Table:
    """An array indexed by token id: what was written, else ``default``."""

    def __init__(self, default: Any, cells: dict[int, Any] | None = None) -> None:
        self.default = default
        self.cells: dict[int, Any] = dict(cells or {})

    def get(self, index: int) -> Any:
        """The value at ``index``."""
        return self.cells.get(index, self.default)

    def number(self, index: int) -> int | None:
        """The value at ``index`` when it is a number (the length of a bytes value), else None."""
        value = self.get(index)
        if isinstance(value, bytes):
            return len(value)
        return int(value) if isinstance(value, int | float) else None


def tokenizer_answer(method: str, args: list[Any]) -> Any:
    """What the toy tokenizer answers to ``method``; None when that is no question to a tokenizer."""
    if method in {"vocab_size", "GetPieceSize", "get_piece_size"} and not args:
        return len(PIECES)
    if method == "piece_to_id" or method == "PieceToId":
        return PIECES.index(args[0]) if args and args[0] in PIECES else UNKNOWN_ID
    if method in {"unk_id", "bos_id", "eos_id"} and not args:
        return {"unk_id": 0, "bos_id": 1, "eos_id": 2}[method]
    if method not in TOKENIZER_CALLS or len(args) != 1:
        return None
    token = args[0]
    if not isinstance(token, int) or not 0 <= token < len(PIECES):
        return OPAQUE
    kind = method.lower().replace("_", "")
    if kind == "idtopiece":
        return PIECES[token]
    known = {"isbyte": {BYTE_ID}, "iscontrol": {1, 2}, "isunknown": {UNKNOWN_ID}, "isunused": {UNUSED_ID}}
    return token in known[kind]


def builtin(name: str, args: list[Any]) -> Any:
    """What a builtin gives for known arguments."""
    known = [a for a in args if not isinstance(a, Opaque)]
    if name in {"max", "min"} and args:
        numbers = [a for a in known if isinstance(a, int | float)]
        return (max if name == "max" else min)(numbers) if numbers else OPAQUE
    if name == "range":
        if len(args) == 1 and isinstance(args[0], Opaque):
            return range(len(PIECES))
        whole = [a for a in args if isinstance(a, int) and abs(a) <= 4096]
        return range(*whole[:2]) if 0 < len(whole) == len(args) else range(len(PIECES))
    if len(known) != len(args) or not args:
        return OPAQUE if name != "dict" else {}
    return _known_builtin(name, args)


def _known_builtin(name: str, args: list[Any]) -> Any:
    first = args[0]
    if name == "len":
        if isinstance(first, Table):
            return len(first.cells) or len(PIECES)
        return len(first) if isinstance(first, str | bytes | tuple | dict | range) else OPAQUE
    if name in {"enumerate", "list", "tuple"}:
        items = items_of(first)
        if items is None:
            return OPAQUE
        return tuple(enumerate(items)) if name == "enumerate" else first
    if name == "zip":
        parts = [items_of(a) for a in args]
        return tuple(zip(*[p for p in parts if p is not None], strict=False)) if None not in parts else OPAQUE
    if name in {"int", "float", "bool", "str", "ord", "chr", "bytes"}:
        return _convert(name, args)
    return OPAQUE


def _convert(name: str, args: list[Any]) -> Any:
    first = args[0]
    try:
        if name == "int":
            return int(first, args[1]) if len(args) == 2 else int(first)
        if name == "bytes":
            items = items_of(first)
            return first if isinstance(first, bytes) else bytes(items) if items else OPAQUE
        makers: dict[str, Any] = {"float": float, "bool": bool, "str": str, "ord": ord, "chr": chr}
        return makers[name](first)
    except (TypeError, ValueError, OverflowError):
        return OPAQUE


def array_call(name: str, args: list[Any]) -> Any:
    """``np.zeros(n)`` and alike on a module that is not known."""
    if name in {"zeros", "zeros_like", "empty"}:
        return Table(0)
    if name in {"ones", "ones_like"}:
        return Table(1)
    if name == "full" and len(args) >= 2:
        return Table(args[1])
    if name in _PASS_CALLS and args:
        return args[0]
    return OPAQUE


def text_method(base: str | bytes, name: str, args: list[Any]) -> Any:
    """What a string method gives."""
    if any(isinstance(a, Opaque | Table) for a in args):
        if name in {"encode", "decode"}:
            args = []
        else:
            return OPAQUE
    try:
        value = getattr(base, name)(*args)
    except (TypeError, ValueError, LookupError, AttributeError):
        return OPAQUE
    return OPAQUE if isinstance(value, str | bytes) and len(value) > MAX_TEXT else value


def items_of(value: Any) -> list[Any] | None:
    """What a loop over ``value`` runs over; None when not known."""
    if isinstance(value, Table):
        return [value.get(i) for i in range(len(value.cells))] if value.cells else [value.default] * len(PIECES)
    if isinstance(value, range):
        return list(value[:4096])
    return list(value) if isinstance(value, tuple | str | bytes) else None


def as_table(values: list[Any]) -> Table:
    """A list as a table; of one element, that is every cell."""
    return Table(values[0] if len(values) == 1 else OPAQUE, dict(enumerate(values)))
