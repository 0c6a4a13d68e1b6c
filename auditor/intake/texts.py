"""Bytes of unknown encoding to text, with one sentence for everything that had to be guessed."""

from __future__ import annotations

import codecs
import contextlib
import re

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_TEXT_CODECS = re.compile(r"(?i)^(latin|iso[-_]?8859|cp\d|windows|gb|big5|shift|s?jis|euc|koi8|mac)")
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


def decode(data: bytes) -> tuple[str, str | None]:
    """Text of ``data`` without its byte order mark, and what was wrong with it (None: plain UTF-8)."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            text = data[len(mark):].decode(encoding, "replace")
            return text, f"starts with a byte order mark ({encoding})"
    guess = _utf16_without_mark(data)
    if guess:
        return data.decode(guess, "replace"), f"looks like {guess} without a byte order mark"
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return data.decode("latin-1"), f"not UTF-8 at line {line} (byte 0x{data[error.start]:02x}); read as latin-1"


def decode_source(data: bytes) -> tuple[str, str | None]:
    """As ``decode``, honouring a declared source encoding; all line ends become ``\\n``."""
    text, problem = decode(data)
    for line in data.splitlines()[:2]:
        match = _COOKIE.match(line)
        if match and problem and "latin-1" in problem and _TEXT_CODECS.match(match.group(1).decode("ascii")):
            with contextlib.suppress(LookupError, UnicodeError):
                text, problem = data.decode(match.group(1).decode("ascii")), None
    return text.replace("\r\n", "\n").replace("\r", "\n"), problem


def _utf16_without_mark(data: bytes) -> str | None:
    """``utf-16-le``/``-be`` when nearly every second byte of the beginning is NUL."""
    head = data[:400]
    if len(head) < 8:
        return None
    half = len(head) // 2
    if head[1::2].count(0) > 0.8 * half and head[0::2].count(0) < 0.1 * half:
        return "utf-16-le"
    if head[0::2].count(0) > 0.8 * half and head[1::2].count(0) < 0.1 * half:
        return "utf-16-be"
    return None
