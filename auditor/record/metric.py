"""The score against the logs: is the headline a logged one, and do loss, bits per byte and tokens fit together?

``val_bpb = val_loss / ln 2 * tokens / bytes``: over one validation set and tokenizer ``val_loss / (ln 2 * val_bpb)``,
the bytes per token, is one constant. The official validation text has about 151.08 million bytes.
"""

from __future__ import annotations

import ast
import math
import statistics
from collections import defaultdict

from auditor.core.submission import Submission
from auditor.core.syntax import parse_python
from auditor.core.types import Place
from auditor.record.facts import Evaluation, Figure, MetricFacts, Ratio, Run
from auditor.record.match import running_sources
from auditor.record.stated import Claims

BYTES = (151_060_000, 151_090_000)
"""Canonical size of the validation text as counted by accepted runs (151,073,604 to 151,080,891)."""
TOKENS_BY_VOCAB: dict[int, tuple[int, ...]] = {
    1024: (62_021_632,), 4096: (45_508_608,), 8192: (40_540_160, 47_851_520), 260: (151_130_112,), 256: (151_080_000,),
}
"""Validation tokens by vocabulary: official exports, CaseOps, and bytes."""
BREAK = 0.004
"""Relative deviation from the common ratio that no rounding and no seam of windows explains."""
NEAR = 5e-5


def metric_facts(submission: Submission, runs: tuple[Run, ...], claims: Claims) -> MetricFacts:
    """Everything on the score that needs only the record."""
    finals = [(run, e) for run in runs for e in run.evaluations if e.val_bpb is not None and e.step is None]
    steps = [(run, e) for run in runs for e in run.evaluations if e.val_bpb is not None and e.step is not None]
    miskeyed = _miskeyed(claims, finals)
    headline = claims.loss if miskeyed else claims.score
    value = headline.value if headline else None
    digits = headline.digits if headline else None
    label, logged, how = _logged_as(value, digits, finals, steps, claims.figures)
    scores = tuple(scores_by_label(runs, label)) if label is not None else ()
    values = [s for _, _, s, _ in scores]
    ratios = _ratios(runs)
    ratio = statistics.median(r.bytes_per_token for r in ratios) if ratios else None
    tokens = next((f.value for run in runs for f in run.val_tokens), None)
    expected = _expected(tokens, _vocab(submission, runs, claims))
    return MetricFacts(
        headline=value,
        headline_digits=digits,
        headline_at=headline.at if headline else None,
        headline_loss=claims.loss.value if claims.loss and not miskeyed else None,
        logged_as=logged,
        how=how if headline else "nothing stated",
        nearest=_nearest(value, [*finals, *steps]),
        scores=scores,
        mean=statistics.fmean(values) if values else None,
        std=statistics.stdev(values) if len(values) > 1 else None,
        ratios=ratios,
        ratio=ratio,
        ratio_breaks=_breaks(ratios),
        vocab=_vocab(submission, runs, claims),
        expected_ratio=expected,
        scored_bytes=tokens * ratio if tokens and ratio else None,
        too_precise=(),
        literal=_literals(submission, value, digits),
        disagreements=tuple(_disagreements(claims, ratio)),
    )


def same(a: float, b: float, digits: int | None) -> bool:
    """Whether two figures agree to ``digits`` decimals (rounded or cut): at most 8, at least 3 (JSON drops zeros)."""
    places = max(3, min(8, digits if digits is not None else 8))
    return abs(a - b) <= 1.01 * 10.0**-places


def _agrees(value: float, digits: int | None, figure: Figure) -> bool:
    coarse = [d for d in (digits, figure.digits) if d is not None]
    return same(value, figure.value, min(coarse, default=8))


Scored = list[tuple[Run, Evaluation]]


def _logged_as(
    value: float | None, digits: int | None, finals: Scored, steps: Scored, stated: frozenset[float]
) -> tuple[str | None, tuple[tuple[str, Place], ...], str]:
    """The label under which the headline was logged, the lines, and how it was made."""
    if not finals and not steps:
        return None, (), "no logged score"
    if value is None:
        return _last_label(finals), (), "nothing stated"
    hits = [(e.label, e.at) for _, e in finals if e.val_bpb and _agrees(value, digits, e.val_bpb)]
    exact = any(e.val_bpb and abs(e.val_bpb.value - value) < 1e-9 for _, e in finals)
    mean = _mean_label(value, digits, finals, stated)
    if mean is not None and (not exact or mean[2] < 1e-6):
        return mean[0], mean[1], "mean of seeds"
    if hits:
        return hits[-1][0], tuple(hits), "one log"
    early = [(e.label, e.at) for _, e in steps if e.val_bpb and _agrees(value, digits, e.val_bpb)]
    if early:
        return early[-1][0], tuple(early), "one log"
    return _last_label(finals), (), "not logged"


def _miskeyed(claims: Claims, finals: Scored) -> bool:
    """Whether submission.json states its bits per byte as ``val_loss``: a logged score is that, and no logged loss."""
    stated = claims.loss
    if stated is None or (claims.score is not None and claims.score is not claims.readme_score):
        return False
    losses = [e.val_loss for _, e in finals if e.val_loss is not None]
    if any(_agrees(stated.value, stated.digits, loss) for loss in losses):
        return False
    return any(e.val_bpb is not None and _agrees(stated.value, stated.digits, e.val_bpb) for _, e in finals)


def _last_label(finals: Scored) -> str | None:
    wanted = [e.label for _, e in finals if not e.diagnostic]
    return wanted[-1] if wanted else None


def _mean_label(
    value: float, digits: int | None, finals: Scored, stated: frozenset[float]
) -> tuple[str, tuple[tuple[str, Place], ...], float] | None:
    """A label whose mean over runs is ``value``, its lines, and by how much the mean is off.

    Two runs or more; the mean of all but one or two of many runs counts too. Where submission.json states single
    runs' scores whose mean is ``value``, those runs and no others make it.
    """
    by_label: dict[str, dict[str, tuple[float, Place, int | None]]] = defaultdict(dict)
    for run, e in finals:
        if e.val_bpb is not None:
            known = by_label[e.label].values()
            twin = any(v == e.val_bpb.value and (at.log == run.log or (d or 0) >= 6) for v, at, d in known)
            if not twin:
                by_label[e.label][run.name] = (e.val_bpb.value, e.at, e.val_bpb.digits)
    for label, found in reversed(by_label.items()):
        if len(found) < 2:
            continue
        named = [(v, at) for v, at, _ in found.values() if round(v, 8) in stated]
        if len(named) > 1 and same(statistics.fmean(v for v, _ in named), value, digits):
            gap = abs(statistics.fmean(v for v, _ in named) - value)
            return label, tuple((label, at) for _, at in named), gap
        scores = [v for v, _, _ in found.values()]
        logged = min((d for _, _, d in found.values() if d is not None), default=8)
        places = min(digits if digits is not None else 8, logged)
        if same(statistics.fmean(scores), value, places) or _subset_mean(scores, value, places):
            gap = abs(statistics.fmean(scores) - value)
            return label, tuple((label, at) for _, at, _ in found.values()), gap
    return None


def _subset_mean(scores: list[float], value: float, places: int) -> bool:
    """Whether the mean of all but one or two scores is ``value``."""
    total, n = sum(scores), len(scores)
    if n > 3 and any(same((total - s) / (n - 1), value, places) for s in scores):
        return True
    return 4 < n <= 12 and any(
        same((total - a - b) / (n - 2), value, places) for i, a in enumerate(scores) for b in scores[i + 1 :]
    )


def scores_by_label(runs: tuple[Run, ...], label: str) -> list[tuple[str, int | None, float, Place]]:
    """Each run's last score under ``label``."""
    found: list[tuple[str, int | None, float, Place]] = []
    for run in runs:
        last = next((e for e in reversed(run.evaluations) if e.label == label and e.val_bpb), None)
        if last is not None and last.val_bpb is not None:
            if any(_copy(run, last.val_bpb, one) for one in found):
                continue
            found.append((run.name, run.seed, last.val_bpb.value, last.at))
    return found


def _copy(run: Run, score: Figure, other: tuple[str, int | None, float, Place]) -> bool:
    """The same figure again, from the same log or from a copy of the run under another name."""
    _, seed, value, at = other
    same_seed = run.seed is None or seed is None or run.seed == seed
    return value == score.value and (at.log == run.log or ((score.digits or 0) >= 6 and same_seed))


def _ratios(runs: tuple[Run, ...]) -> tuple[Ratio, ...]:
    found = []
    for run in runs:
        for e in run.evaluations:
            if e.val_loss is None or e.val_bpb is None or e.val_bpb.value <= 0 or e.val_loss.value <= 0:
                continue
            if not math.isfinite(e.val_loss.value / e.val_bpb.value):
                continue
            value = e.val_loss.value / (math.log(2) * e.val_bpb.value)
            loose = _half_unit(e.val_loss) / e.val_loss.value + _half_unit(e.val_bpb) / e.val_bpb.value
            found.append(Ratio(value, value * loose, e.at, e.label))
    return tuple(found)


def _half_unit(figure: Figure) -> float:
    return 0.5 * 10.0 ** -(figure.digits if figure.digits is not None else 8)


def _breaks(ratios: tuple[Ratio, ...]) -> tuple[Ratio, ...]:
    """Lines whose ratio is not the common one of their log."""
    by_log: dict[str | None, list[Ratio]] = defaultdict(list)
    for ratio in ratios:
        by_log[ratio.at.log].append(ratio)
    broken: list[Ratio] = []
    for found in by_log.values():
        common = statistics.median(r.bytes_per_token for r in found)
        broken.extend(r for r in found if abs(r.bytes_per_token - common) > BREAK * common + 2 * r.tolerance)
    return tuple(broken)


def _vocab(submission: Submission, runs: tuple[Run, ...], claims: Claims) -> int | None:
    """The vocabulary: logged, else stated in submission.json."""
    for run in runs:
        value = run.settings.get("vocab_size", ("",))[0]
        if value.isdecimal() and len(value) < 10:
            return int(value)
    return round(claims.vocab.value) if claims.vocab else None


def _expected(tokens: float | None, vocab: int | None) -> tuple[float, float] | None:
    """Bytes per token that the official text gives: by the logged token count, else by the vocabulary."""
    counts = [tokens] if tokens else list(TOKENS_BY_VOCAB.get(vocab or 0, ()))
    if not counts:
        return None
    return BYTES[0] / max(counts) * 0.997, BYTES[1] / min(counts) * 1.003


def _nearest(value: float | None, scored: Scored) -> float | None:
    if value is None or not scored:
        return None
    return min((e.val_bpb.value for _, e in scored if e.val_bpb), key=lambda v: abs(v - value))


def _literals(submission: Submission, value: float | None, digits: int | None) -> tuple[Place, ...]:
    """Places where the headline (five decimals or more) stands as a number in the running code."""
    if value is None or digits is None or digits < 5:
        return ()
    found = []
    for source in running_sources(submission):
        tree = parse_python(source.text).tree if source.path.endswith(".py") else None
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, float) and abs(node.value - value) < 1e-9:
                found.append(Place(file=source.path, line=node.lineno))
    return tuple(found)


def _disagreements(claims: Claims, ratio: float | None) -> list[tuple[str, Place]]:
    found = []
    score, readme, loss = claims.score, claims.readme_score, claims.loss
    if score and readme and score.at.field and abs(score.value - readme.value) > 0.02:
        found.append((f"submission.json states {score.value:g}, the README {readme.value:g}", readme.at))
    if score and loss and ratio and score.value > 0 and loss.value > 0:
        stated = loss.value / (math.log(2) * score.value)
        if abs(stated - ratio) > 0.01 * ratio:
            found.append((
                f"stated val_loss / val_bpb gives {stated:.4f} bytes per token, the logs {ratio:.4f}", loss.at
            ))
    return found

