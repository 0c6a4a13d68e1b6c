"""The artifact's size, read in every way that has been used to judge it, against the cap of 16,000,000 bytes.

Figures (RULES Part 6, item 4): (a) the total that is stated or logged last, (b) model plus files as shipped, (c) model
plus code compressed. Over: all of them, or (a) and (b). Contested: (a) over, (b) under. Noted: only (b) over.
"""

from __future__ import annotations

import lzma
import zlib

import brotli

from auditor.core.submission import Role, SourceFile, Submission
from auditor.core.types import Place
from auditor.record.facts import Over, Run, SizeFacts, SizeKind
from auditor.record.stated import Claims

CAP = 16_000_000
_NEGLIGIBLE = 4096
"""Differences of code size that comments and line ends explain."""


def size_facts(submission: Submission, runs: tuple[Run, ...], claims: Claims) -> SizeFacts:
    """Measure and decide. ``runs`` are those behind the headline: any of them over the cap counts."""
    at: dict[str, Place] = {}
    claimed = _claimed(claims, at)
    totals = [(run, s) for run in runs if (s := run.last_size(SizeKind.TOTAL))]
    logged = max((s.bytes for _, s in totals), default=None)
    if logged is not None:
        at["logged"] = next(s.at for _, s in totals if s.bytes == logged)
    model = _model(runs, claims, at)
    sources = counted_sources(submission)
    files = tuple((s.path, s.shipped_bytes) for s in sources)
    extra = tuple((f.path, f.size) for f in submission.files if f.path.endswith((".so", ".dll", ".dylib")))
    shipped_code = sum(size for _, size in (*files, *extra)) if sources else None
    packed_code = sum(packed_size(s) for s in sources) + sum(size for _, size in extra) if sources else None
    if submission.entry is not None:
        at["shipped"] = at["packed"] = Place(file=submission.entry.path)
    code_logged = next((s.bytes for run in reversed(runs) if (s := run.last_size(SizeKind.CODE))), None)
    shipped = model + shipped_code if model is not None and shipped_code is not None else None
    packed = model + packed_code if model is not None and packed_code is not None else None
    entry_only = model + submission.entry.shipped_bytes if model is not None and submission.entry else None
    decision, why = decide(claimed=claimed, logged=logged, shipped=shipped, packed=packed, model=model,
                           entry_only=entry_only)
    return SizeFacts(
        cap=CAP, decision=decision, why=why, claimed=claimed, logged=logged, model=model, code_shipped=shipped_code,
        code_packed=packed_code, shipped=shipped, packed=packed, code_logged=code_logged, code_files=(*files, *extra),
        at=at, inconsistent=tuple(_inconsistent(runs)),
        stated_over=tuple((run.name, s.bytes, s.at) for run, s in totals if s.bytes > CAP),
        some_seeds_only=2 * sum(s.bytes > CAP for _, s in totals) < len(totals) and (claimed or 0) <= CAP,
    )


def decide(
    *,
    claimed: int | None,
    logged: int | None,
    shipped: int | None,
    packed: int | None,
    model: int | None = None,
    entry_only: int | None = None,
) -> tuple[Over, str]:
    """The decision from the figures, with its sentence. ``model`` alone over the cap decides by itself.

    ``entry_only`` is the model plus the entry without side modules, whose counting no ruling settles. A logged total
    over the cap beside a smaller stated one is contested as long as the packed code bears the stated one out.
    """
    if model is not None and model > CAP:
        return Over.OVER, f"the compressed model alone has {model:,} bytes"
    stated = max((v for v in (claimed, logged) if v is not None), default=None)
    if stated is None and shipped is None:
        return Over.UNKNOWN, "no total is stated or logged and no model size is known"
    figures = _figures(claimed, logged, shipped, packed)
    a, b = stated is not None and stated > CAP, shipped is not None and shipped > CAP
    if a and shipped is None:
        return Over.OVER, f"the stated total is over the cap and nothing contradicts it: {figures}"
    stated_under = claimed is not None and claimed <= CAP and (logged or 0) > CAP
    if a and b and stated_under and packed is not None and packed <= CAP:
        return Over.CONTESTED, f"the log's total is over the cap, the stated one counts packed code: {figures}"
    if a and b:
        return Over.OVER, f"both the stated total and model plus shipped files are over the cap: {figures}"
    if a:
        return Over.CONTESTED, f"the stated total is over the cap, model plus shipped files are not: {figures}"
    if b and packed is not None and packed > CAP and entry_only is not None and entry_only <= CAP:
        return Over.CONTESTED, f"with the modules beside the script the artifact is over the cap: {figures}"
    if b and packed is not None and packed > CAP:
        return Over.OVER, f"model plus shipped files are over the cap, even with the code compressed: {figures}"
    if b:
        return Over.NOTED, f"only model plus uncompressed files is over the cap, as accepted in practice: {figures}"
    return Over.UNDER, f"under the cap: {figures}"


def _figures(claimed: int | None, logged: int | None, shipped: int | None, packed: int | None) -> str:
    named = (
        ("stated", claimed), ("logged", logged), ("model + shipped files", shipped), ("model + packed code", packed)
    )
    return ", ".join(f"{name} {value:,}" for name, value in named if value is not None)


def counted_sources(submission: Submission) -> tuple[SourceFile, ...]:
    """The code that the run needs: the entry, what it imports, and native text that it loads."""
    needed = tuple(m for m in submission.modules if m.role in (Role.MODULE, Role.NATIVE))
    return (submission.entry, *needed) if submission.entry else needed


def packed_size(source: SourceFile) -> int:
    """Bytes of the shipped text under the best of lzma, zlib and brotli; a packed script counts as shipped."""
    if source.packed is not None:
        return source.shipped_bytes
    raw = (source.shipped_text or source.text).encode("utf-8", "surrogateescape")
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    best = min(
        len(lzma.compress(raw, format=lzma.FORMAT_RAW, filters=filters)),
        len(zlib.compress(raw, 9)),
        len(brotli.compress(raw, quality=9)),
    )
    return min(best, source.shipped_bytes)


def _claimed(claims: Claims, at: dict[str, Place]) -> int | None:
    """The stated total; figures too small for one (megabytes, code only) are left alone."""
    if claims.total is None or not 100_000 <= claims.total.value <= 10**9:
        return None
    at["claimed"] = claims.total.at
    return round(claims.total.value)


def _model(runs: tuple[Run, ...], claims: Claims, at: dict[str, Place]) -> int | None:
    """The largest compressed model of the runs: as logged, else total less code, else as stated."""
    found: list[tuple[int, Place]] = []
    for run in runs:
        total = run.last_size(SizeKind.TOTAL)
        code = run.last_size(SizeKind.CODE_COMPRESSED) or run.last_size(SizeKind.CODE)
        size = run.last_size(SizeKind.MODEL)
        if size is not None and total is not None and size.bytes > total.bytes:
            size = None
        if size is not None:
            found.append((size.bytes, size.at))
        elif total is not None and code is not None and total.bytes > code.bytes:
            found.append((total.bytes - code.bytes, total.at))
    if not found and claims.model is not None and 10_000 <= claims.model.value <= 10**9:
        found.append((round(claims.model.value), claims.model.at))
    if not found:
        return None
    size_, place = max(found, key=lambda pair: pair[0])
    at["model"] = place
    return size_


def _inconsistent(runs: tuple[Run, ...]) -> list[tuple[str, Place]]:
    """Last logged model + code against the last logged total of the same run."""
    found = []
    for run in runs:
        total, model = run.last_size(SizeKind.TOTAL), run.last_size(SizeKind.MODEL)
        codes = [s.bytes for s in run.sizes if s.kind in (SizeKind.CODE, SizeKind.CODE_COMPRESSED)]
        if total is None or model is None or not codes or model.label != total.label:
            continue
        gap = min(abs(model.bytes + code - total.bytes) for code in codes)
        if gap > _NEGLIGIBLE:
            sums = " or ".join(f"{model.bytes + code:,}" for code in dict.fromkeys(codes))
            found.append((f"logged model + code is {sums} bytes, the logged total {total.bytes:,}", total.at))
    return found
