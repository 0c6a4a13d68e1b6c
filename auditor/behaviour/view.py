"""What ``golf-audit probe`` prints: how far the run got, the timeline, the passes, and an answer to each question."""

from __future__ import annotations

import io
from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule as Line
from rich.table import Table
from rich.text import Text

from auditor.behaviour.facts import Answer, Evidence, Moment, PassInfo, Question, TraceFacts
from auditor.core.text import plain
from auditor.core.types import BehaviourInfo, Outcome

BAR = 16
"""Characters of a position bar."""
EVIDENCE = 3
SAMPLES = 4
SETTINGS = 8
STYLES = {
    Outcome.FOUND: "bold red", Outcome.CLEAR: "green", Outcome.UNKNOWN: "bold magenta", Outcome.ERROR: "bold magenta",
    Outcome.NOT_APPLICABLE: "dim",
}  # fmt: skip
MIB = 1 << 20
LOSSES = {
    Question.PREFIX_INVARIANCE: ("loss in run A", "in run B"),
    Question.SCORE_BEFORE_UPDATE: ("loss before the update", "loss counted"),
    Question.NORMALISATION: ("the model's loss", "loss counted"),
}
"""What the two losses of a sample are, by question."""


def render(
    facts: TraceFacts, info: BehaviourInfo, smoke: str, *, width: int = 80, color: bool = False, timeline: bool = True
) -> str:
    """The whole view as text. ``smoke`` is the smoke block as one sentence; ``info`` knows the written files."""
    sink = io.StringIO()
    console = Console(
        file=sink, width=max(40, width), force_terminal=color, no_color=not color,
        color_system="standard" if color else None, highlight=False, markup=False, emoji=False, legacy_windows=False,
    )  # fmt: skip
    _head(console, facts, info, smoke)
    _settings(console, facts)
    if timeline:
        _timeline(console, facts)
    _passes(console, facts.passes)
    _questions(console, facts)
    _files(console, facts, info)
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()) + "\n"


def _head(console: Console, facts: TraceFacts, info: BehaviourInfo, smoke: str) -> None:
    found = [a for a in facts.answers.values() if a.outcome is Outcome.FOUND]
    open_ = [q for q in Question if facts.answer(q).outcome in (Outcome.UNKNOWN, Outcome.ERROR)]
    if found:
        console.print(Text(f"FOUND: {', '.join(a.question.value for a in found)}", style="bold red"))
    elif open_:
        console.print(Text(f"NOT DECIDED: {', '.join(q.value for q in open_)}", style="bold magenta"))
    else:
        console.print(Text("NOTHING FOUND by the questions asked of this run", style="bold green"))
    if facts.reached:
        _say(console, f"The toy run reached its score: {plain(facts.headline.strip(), 200)}")
    else:
        _say(console, f"The toy run did not reach its score: {plain(info.failure or 'no reason is known', 400)}")
    level = "none, the code ran with this user's rights" if facts.level == "none" else facts.level or "not known"
    tries = "1 attempt" if facts.attempts == 1 else f"{facts.attempts} attempts"
    _say(console, f"Isolation: {level}. {tries}, {facts.seconds:.1f} s, peak {facts.peak_bytes / MIB:,.0f} MiB.")
    _say(console, smoke)
    for note in (*info.smoke.notes, *facts.notes):
        _say(console, f"- {plain(note, 300)}", indent=2)
    if facts.stubbed:
        _say(console, f"Packages replaced by stand-ins: {plain(', '.join(facts.stubbed), 300)}")


def _settings(console: Console, facts: TraceFacts) -> None:
    if not facts.changes:
        return
    _title(console, f"Settings scaled down ({len(facts.changes)}; order, conditions and flags stay)")
    table = _grid(3)
    for name, old, new, how in facts.changes[:SETTINGS]:
        table.add_row(plain(name, 40), f"{plain(old, 20) or 'not set'} -> {plain(new, 20)}", plain(how, 30))
    console.print(Padding(table, (0, 0, 0, 2)))
    if len(facts.changes) > SETTINGS:
        _say(console, f"and {len(facts.changes) - SETTINGS} more (--format json lists them)", indent=2)


def _timeline(console: Console, facts: TraceFacts) -> None:
    if not facts.timeline:
        return
    _title(console, "Timeline (virtual seconds; the bar is the validation stream from its first to its last token)")
    end = max((m.high for m in facts.timeline), default=0)
    judged = next((p for p in facts.passes if p.judged), None)
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, show_header=False)
    table.add_column(justify="right", no_wrap=True, width=7)
    table.add_column(no_wrap=True, width=9)
    table.add_column(no_wrap=True, width=BAR + 2)
    table.add_column(overflow="fold")
    for moment in facts.timeline:
        style = "bold" if _in(moment, judged) else "dim" if moment.what in ("loaded", "opened", "stubbed") else ""
        table.add_row(*(Text(cell, style=style) for cell in _cells(moment, end, facts.passes)))
    console.print(table)


def _cells(moment: Moment, end: int, passes: tuple[PassInfo, ...]) -> tuple[str, str, str, str]:
    text = plain(moment.detail, 120)
    if moment.tokens:
        text = f"{moment.tokens:,} {moment.split or 'other'} tokens; {text}" if text else f"{moment.tokens:,} tokens"
    elif moment.split and moment.what == "loaded":
        text = f"{moment.split}: {text}"
    if moment.spot is not None and moment.spot.file:
        text = f"{text}  {plain(moment.spot.file, 60)}:{moment.spot.line}"
    if moment.what == "scored" and moment.split == "val":
        mine = [one for one in passes if _in(moment, one)]
        text = f"JUDGED: {text}" if any(one.judged for one in mine) else text if mine else f"warm-up or check: {text}"
    return f"{moment.seconds:.2f}", moment.what, bar(moment.low, moment.high, end), text


def _in(moment: Moment, judged: PassInfo | None) -> bool:
    """Whether a stretch of validation scores belongs to the judged pass."""
    if judged is None or moment.split != "val" or moment.what != "scored":
        return False
    return judged.first_event <= moment.event <= judged.last_event


def bar(low: int, high: int, end: int) -> str:
    """Where in the stream: ``|####........|`` for positions ``low`` to ``high`` of 0 to ``end``; empty for none."""
    if low < 0 or end <= 0:
        return ""
    first, last = low * BAR // (end + 1), min(high, end) * BAR // (end + 1)
    return "|" + "".join("#" if first <= i <= last else "." for i in range(BAR)) + "|"


def _passes(console: Console, passes: tuple[PassInfo, ...]) -> None:
    _title(console, "Passes over the validation stream (a printed number, and the scores that it is the mean of)")
    if not passes:
        _say(console, "No printed number is the mean of scores of the validation stream.", indent=2)
        return
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, show_header=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    names = roles(passes)
    for one, name in zip(passes, names, strict=True):
        twice = f" ({one.distinct:,} of them distinct)" if one.distinct != one.tokens else ""
        detail = f"{one.tokens:,} scores{twice}, mean {one.value:.4f} nats; {one.how}: {plain(one.label, 120)}"
        table.add_row("->" if one.judged else "", name, Text(detail, style="bold" if one.judged else ""))
    console.print(Padding(table, (0, 0, 0, 2)))


def roles(passes: tuple[PassInfo, ...]) -> list[str]:
    """What each pass is to the verdict: the judged one, or a diagnostic before or after it."""
    judged = next((p for p in passes if p.judged), None)
    names = []
    for one in passes:
        if one.judged:
            names.append("JUDGED")
        elif judged is None:
            names.append("diagnostic")
        elif one.last_event < judged.first_event:
            names.append("earlier, diagnostic")
        else:
            names.append("diagnostic")
    return names


def _questions(console: Console, facts: TraceFacts) -> None:
    _title(console, "Questions")
    table = _grid(3)
    for question in Question:
        answer = facts.answer(question)
        outcome = Text(answer.outcome.value, style=STYLES[answer.outcome])
        table.add_row(Text(question.value), outcome, Text(plain(answer.reason, 400)))
    console.print(Padding(table, (0, 0, 0, 2)))
    for question in Question:
        _evidence(console, facts.answer(question))


def _evidence(console: Console, answer: Answer) -> None:
    if answer.outcome is not Outcome.FOUND:
        return
    console.print()
    _say(console, f"{answer.question.value}: evidence", style="bold", indent=2)
    for one in answer.evidence[:EVIDENCE]:
        _one(console, answer.question, one)
    if len(answer.evidence) > EVIDENCE:
        _say(console, f"and {len(answer.evidence) - EVIDENCE} more", indent=4)


def _one(console: Console, question: Question, one: Evidence) -> None:
    at = f"{plain(one.spot.file, 80)}:{one.spot.line}  " if one.spot is not None else ""
    _say(console, f"{at}[{one.confidence.value}] {plain(one.message, 500)}", indent=4)
    for step in one.path[:8]:
        _say(console, f"-> {plain(step.file, 80)}:{step.line}  {plain(step.note, 160)}", indent=6)
    figures = [
        f"{plain(name.replace('_', ' '), 60)} {value:,.10g}" for name, value in sorted(one.figures.items()) if value
    ]
    if figures:
        _say(console, "; ".join(figures), indent=6)
    if not one.samples:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for column in ("token", *LOSSES.get(question, ("first", "second")), "difference"):
        table.add_column(column, justify="right", no_wrap=True)
    for sample in one.samples[:SAMPLES]:
        difference = sample.second - sample.first
        table.add_row(str(sample.position), f"{sample.first:.7f}", f"{sample.second:.7f}", f"{difference:+.2e}")
    console.print(Padding(table, (0, 0, 0, 6)))
    if len(one.samples) > SAMPLES:
        _say(console, f"and {len(one.samples) - SAMPLES} more samples", indent=6)


def _files(console: Console, facts: TraceFacts, info: BehaviourInfo) -> None:
    proofs = [e for a in facts.answers.values() if a.outcome is Outcome.FOUND for e in a.evidence]
    if not proofs and not info.witness_files:
        return
    _title(console, "Witness files")
    for name in info.witness_files:
        _say(console, plain(name, 300), indent=2)
    if info.witness_files:
        _say(
            console, "golf-audit probe PR_DIR --replay FILE runs one again and shows both runs side by side.", indent=2
        )
    else:
        _say(console, "None written; --witness-dir DIR writes them, --replay FILE runs one again.", indent=2)


def _grid(columns: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(columns - 1):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _title(console: Console, text: str) -> None:
    console.print()
    if len(text) + 6 <= console.width:
        console.print(Line(Text(text, style="bold"), align="left", characters="-", style="dim"))
    else:
        console.print(Text(text, style="bold"))


def _say(console: Console, text: str, *, indent: int = 0, style: str = "") -> None:
    console.print(Padding(Text(text, style=style), (0, 0, 0, indent)))


def document(facts: TraceFacts, info: BehaviourInfo) -> dict[str, object]:
    """The same for machines: plain dictionaries, lists and numbers."""
    from dataclasses import asdict

    smoke = {**asdict(info.smoke), "notes": list(info.smoke.notes)}
    return {
        "schema_version": 1,
        "reached": facts.reached, "failure": info.failure or None, "headline": facts.headline or None,
        "isolation": facts.level, "attempts": facts.attempts, "seconds": facts.seconds, "peak_bytes": facts.peak_bytes,
        "smoke": smoke, "stubbed": list(facts.stubbed), "notes": list(facts.notes),
        "changes": [{"name": n, "from": a, "to": b, "how": h} for n, a, b, h in facts.changes],
        "timeline": [asdict(moment) for moment in facts.timeline],
        "passes": [asdict(one) for one in facts.passes],
        "answers": [_answer(facts.answer(question)) for question in Question],
        "witness_files": list(info.witness_files),
    }  # fmt: skip


def _answer(answer: Answer) -> dict[str, object]:
    from dataclasses import asdict

    evidence: Iterable[dict[str, object]] = (asdict(one) for one in answer.evidence)
    return {"question": answer.question.value, "outcome": answer.outcome.value, "reason": answer.reason,
            "evidence": list(evidence)}  # fmt: skip
