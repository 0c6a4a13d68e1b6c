"""From a submission to its source facts: parse, walk the entry script, turn the recorded events into facts."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from auditor.core.submission import Role, SourceFile, Submission, near_sources
from auditor.core.syntax import parse_python
from auditor.core.types import PathStep
from auditor.source.facts import (
    DataRead,
    Disabled,
    External,
    Lookup,
    Loop,
    Mix,
    MixKind,
    Origin,
    Report,
    Score,
    Site,
    SourceFacts,
    StateKind,
    Update,
)
from auditor.source.flow.disjoint import disjoint_scores, mark_counted_parts
from auditor.source.flow.machine import BudgetSpentError, Event, Frame, Machine
from auditor.source.flow.reads import entry_site, read_origin, training_loops
from auditor.source.flow.statements import walk_block
from auditor.source.flow.values import Val
from auditor.source.metric import analyse_metric

_NOTHING_RAN: Mapping[str, frozenset[int]] = MappingProxyType({})


def analyse(
    submission: Submission,
    *,
    executed: Mapping[str, frozenset[int]] = _NOTHING_RAN,
    headline: Sequence[str] = (),
) -> SourceFacts:
    """Follow the data through the submission's script.

    ``executed`` maps files to lines of print calls that the log proves to have run; ``headline`` are the log lines that
    state the claimed score. Raises ``ValueError`` when the
    submission has no entry script; a script that does not parse gives facts that are not complete.
    """
    entry = submission.entry
    if entry is None:
        raise ValueError("the submission has no script to follow")
    texts = {f.path: f.text for f in (entry, *near_sources(submission)) if f.role is not Role.NATIVE}
    parsed = parse_python(entry.text)
    if parsed.tree is None:
        problem = parsed.problem
        reason = f"{entry.path}:{problem.line if problem else 0}: {problem.reason if problem else 'does not parse'}"
        return SourceFacts(entry=entry.path, complete=False, unresolved=(reason,), texts=texts)
    machine = Machine(submission.launch, executed)
    machine.entry_tree = parsed.tree
    launch = submission.launch
    machine.unknown_launch = not (submission.logs or launch.env or launch.argv or launch.logged or launch.world_size)
    if machine.unknown_launch:
        machine.note("no log and no launch command was found: which switches were on is not known")
    near = near_sources(submission)
    if len(near) < len(submission.modules):
        machine.note(f"{len(submission.modules) - len(near)} files that nothing was seen to reach were not read")
    machine.module_sources = _modules(machine, near)
    complete = _run(machine, entry, parsed.tree) and not machine.unread_module
    facts = Conversion(machine).facts(entry.path, complete, texts)
    trees = {entry.path: parsed.tree} | dict(machine.module_sources.values())
    return replace(facts, metric=analyse_metric(submission, trees), headline=headline_scores(facts.reports, headline))


def headline_scores(reports: Sequence[Report], lines: Sequence[str]) -> frozenset[int] | None:
    """Scores of the reports whose text (with holes for figures) is that of a headline line; None without any."""
    found: frozenset[int] = frozenset()
    for report in reports:
        words = report.text.strip()
        if len(words.replace("{}", "").strip()) < 4:
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in words.split("{}")))
        if any(pattern.search(line) for line in lines):
            found = found | report.scores
    return found or None


def _modules(m: Machine, files: tuple[SourceFile, ...]) -> dict[str, tuple[str, ast.Module]]:
    """Importable names of the Python files beside the entry."""
    found: dict[str, tuple[str, ast.Module]] = {}
    for file in files:
        if not file.path.endswith(".py") or file.role not in (Role.MODULE, Role.OTHER, Role.DATA_PREP):
            continue
        parsed = parse_python(file.text)
        if parsed.tree is None:
            m.note(f"{file.path} does not parse")
            m.unread_module = m.unread_module or file.role is Role.MODULE
            continue
        name = file.path[:-3].replace("/", ".").removesuffix(".__init__")
        found[name] = (file.path, parsed.tree)
        found.setdefault(name.rpartition(".")[2], (file.path, parsed.tree))
    return found


def _run(m: Machine, entry: SourceFile, tree: ast.Module) -> bool:
    scope: dict[str, Val] = {"__name__": Val("__main__"), "__file__": Val(entry.path)}
    frame = Frame("<module>", entry.path, scope, scope, (), tree)
    m.frames.append(frame)
    try:
        walk_block(m, frame, tree.body)
    except BudgetSpentError:
        m.note(f"{entry.path}: the walk was cut short after {m.steps:,} steps, near {m.frames[-1].function}")
        return False
    except RecursionError:
        m.note(f"{entry.path}: nested too deep to follow")
        return False
    return True


class Conversion:
    """Events to facts; serial positions from the lexical order along call paths."""

    def __init__(self, machine: Machine) -> None:
        self.m = machine
        places = sorted({e.position for e in machine.events})
        self.rank = {place: i for i, place in enumerate(places)}
        self.targets = self._score_targets()
        self.train_loops = training_loops(machine, self.rank)
        self.train_end = self._train_end()
        mark_counted_parts(machine)

    def facts(self, entry: str, complete: bool, texts: dict[str, str]) -> SourceFacts:
        """All facts of the walk."""
        m = self.m
        by = {
            kind: [e for e in m.events if e.what == kind]
            for kind in ("update", "stat", "score", "lookup", "choice", "report", "read", "external")
        }
        updates = [self._update(e, e.data["kind"]) for e in by["update"]]
        live = [e for e in by["stat"] if any(m.labels[n].key[0] == e.id for n in m.live_statistics)]
        updates += [self._update(e, StateKind.CALIBRATION) for e in live]
        return SourceFacts(
            entry=entry,
            updates=tuple(updates),
            scores=tuple(self._score(e) for e in by["score"]),
            lookups=tuple(self._lookup(e) for e in by["lookup"] if not e.data.get("fixed") or e.data.get("gate")),
            mixes=tuple([self._mix(e) for e in by["choice"] if not e.data.get("stabiliser")] + self._mixtures()),
            reports=tuple(self._report(e) for e in by["report"]),
            reads=tuple(
                [self._read(e) for e in by["read"]]
                + [self._fed(e, StateKind.CALIBRATION) for e in live]
                + self._late_reads(by["update"])
            ),
            disabled=tuple(Disabled(site, cond, why, site.function) for site, cond, why in m.disabled.values()),
            external=tuple(self._external(e) for e in by["external"]),
            loops={loop.id: Loop(loop.id, loop.site, loop.turns) for loop in m.loop_table.values()},
            complete=complete,
            unresolved=tuple(m.notes),
            texts=texts,
        )

    def _score_targets(self) -> frozenset[tuple[object, ...]]:
        sites: set[tuple[object, ...]] = set()
        for event in self.m.events:
            if event.what == "score":
                sites |= {self.m.labels[n].key[0] for n in event.data["targets"]}
        return frozenset(sites)

    def _train_end(self) -> int | None:
        ends = [
            self.rank[e.position]
            for e in self.m.events
            if e.loops and e.loops[0] in self.train_loops and e.what == "update"
        ]
        return max(ends) if ends else None

    def _after_training(self, event: Event) -> bool:
        if self.train_end is None or (event.loops and event.loops[0] in self.train_loops):
            return False
        return self.rank[event.position] > self.train_end

    def _path(self, event: Event) -> tuple[PathStep, ...]:
        steps: list[PathStep] = []
        for n in self.m.of_kind(event.labels, "src")[:3]:
            origin, file, line, what = self.m.labels[n].key
            if file:
                name = what.replace("\x00", "*")[-60:]
                steps.append(PathStep(file, line, f"{origin} data are read here" + (f" ({name})" if name else "")))
        for site in event.stack:
            steps.append(PathStep(site.file, site.line, f"called from {site.function}"))
        steps.append(PathStep(event.site.file, event.site.line, f"in {event.site.function}"))
        return tuple(steps)

    def _ids(self, event: Event, kind: str) -> frozenset[int]:
        return frozenset(self.m.labels[n].key[0] for n in self.m.of_kind(event.labels, kind))

    def _update(self, event: Event, kind: StateKind) -> Update:
        m = self.m
        made_in = event.data.get("made_in")
        return Update(
            id=event.id,
            kind=kind,
            site=event.site,
            origins=m.origins(event.labels),
            loops=event.loops,
            varies=m.varies(event.labels),
            position=self.rank[event.position],
            path=self._path(event),
            guard=event.guard,
            during_training=bool(event.loops and event.loops[0] in self.train_loops),
            disjoint_from=disjoint_scores(m, event),
            carried=made_in is not None and bool(m.varies(event.labels) & frozenset(event.loops) - made_in),
        )

    def _score(self, event: Event) -> Score:
        m = self.m
        looked = self._ids(event, "look") | frozenset(
            n for n in self._ids(event, "prop") if m.events[n].data.get("gate")
        )
        depends = self._ids(event, "upd")
        for number in looked:
            depends = depends | self._ids(m.events[number], "upd")
        if not event.data["targets"]:  # made of losses that are scores themselves: what they depend on is judged there
            for number in self._ids(event, "nll") - {event.id}:
                depends = depends - self._ids(m.events[number], "upd")
        depends = frozenset(n for n in depends if not self._within_token(m.events[n], event))
        return Score(
            id=event.id,
            site=event.site,
            loops=event.loops,
            varies=m.varies(event.labels),
            position=self.rank[event.position],
            depends_on=depends - {event.id},
            lookups=looked,
            raw_origins=frozenset(),
            path=self._path(event),
            guard=event.guard,
            first_turn_only=frozenset(loop for loop, turn in event.turns if turn == 0),
        )

    def _within_token(self, update: Event, score: Event) -> bool:
        """Whether a table of bytes is filled in the pass that reads it: between the bytes of one token, too."""
        if update.data.get("kind") is not StateKind.TABLE or self.m.label("byte") not in update.labels:
            return False
        return update.loops[:1] == score.loops[:1]

    def _lookup(self, event: Event) -> Lookup:
        m = self.m
        hashed = {m.labels[n].key[0] for n in event.data["hashed"]}
        ratio = event.data.get("ratio")
        scored = bool(hashed & self.targets)
        why = "ratio" if ratio == "hashed" else "scored token" if scored else "exact ratio" if ratio else ""
        why = event.data.get("why") or ("gate" if event.data.get("gate") else why)
        origins = m.origins(m.without(event.labels, "acc"))
        return Lookup(
            id=event.id,
            site=event.site,
            target_in_key=why not in ("", "exact ratio"),
            why=why,
            table_origins=origins,
            loops=event.loops,
            position=self.rank[event.position],
            path=self._path(event),
            guard=event.guard,
            updates=self._ids(event, "upd"),
            use=event.data.get("use", ""),
        )

    def _mix(self, event: Event) -> Mix:
        first, second = (frozenset(self.m.labels[n].key[0] for n in event.data[k]) for k in ("first", "second"))
        sites = [{self.m.events[i].site for i in ids} for ids in (first, second)]
        kind = MixKind.MIN_OVER_PASSES if sites[0] & sites[1] else MixKind.BEST_OF_EXPERTS
        return Mix(kind, event.site, first | second, self._path(event), event.guard)

    def _mixtures(self) -> list[Mix]:
        """Sums of probabilities whose logarithm was taken, and constants that a later score was made with."""
        m = self.m
        tuned: dict[int, set[int]] = {}
        for event in m.events:
            if event.what == "score":
                for n in self._ids(event, "tune"):
                    tuned.setdefault(n, set()).add(event.id)
        found = [(e, e.data["scores"] | tuned.get(e.id, set())) for e in m.events if e.what == "mix"]
        known = [e for e, _ in found if (e.site.file, e.site.line, e.site.column) in m.explained]
        found = [(e, s) for e, s in found if e.data["kind"] is not MixKind.TARGET_ONLY_MIX or e not in known]
        return [Mix(e.data["kind"], e.site, frozenset(scores), self._path(e), e.guard) for e, scores in found if scores]

    def _report(self, event: Event) -> Report:
        site: Site = event.data["at"]
        return Report(site, event.data["text"], self._ids(event, "nll"), self.rank[event.position])

    def _read(self, event: Event) -> DataRead:
        return DataRead(
            event.data["origin"],
            event.site,
            self.rank[event.position],
            self._after_training(event),
            None,
            self._path(event),
            event.guard,
        )

    def _fed(self, event: Event, kind: StateKind) -> DataRead:
        """The read behind a change of state."""
        return DataRead(
            read_origin(self.m.origins(event.labels)),
            entry_site(self.m, event),
            self.rank[event.position],
            self._after_training(event),
            kind,
            self._path(event),
            event.guard,
        )

    def _late_reads(self, updates: list[Event]) -> list[DataRead]:
        """Reads of training data after training that fill tables or move weights on which a score depends."""
        used = {n for e in self.m.events if e.what == "score" for n in self._score(e).depends_on}
        return [
            self._fed(e, e.data["kind"])
            for e in updates
            if e.id in used and self.m.origins(e.labels) == {Origin.TRAIN} and self._after_training(e)
        ]

    def _external(self, event: Event) -> External:
        return External(
            event.data["external"],
            event.site,
            event.data["call"],
            self._after_training(event),
            event.guard,
            event.data.get("program", ""),
        )
