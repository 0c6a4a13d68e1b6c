"""Training, its end, and what was read after it: which loops train, and where later batches come from."""

from __future__ import annotations

import ast
import re

from auditor.source.facts import Origin, Site, StateKind
from auditor.source.flow.machine import Event, Machine

_CLOCK = re.compile(
    r"wallclock|wall_clock|deadline|time_limit|time_budget|time_left|max_seconds|max_ms|reached_cap|elapsed", re.I
)


def training_loops(m: Machine, rank: dict[tuple[tuple[int, int], ...], int]) -> frozenset[int]:
    """Ids of the outermost loops in which weights are updated from training data, the training proper.

    Loops that see training data alone are preferred to loops that see validation data too. A loop without a test of
    the clock that begins after the loop with such a test has ended is no part of it.
    """
    updates = [e for e in m.events if e.what == "update" and e.data["kind"] is StateKind.WEIGHTS and e.loops]
    told = [e for e in updates if Origin.TRAIN in m.origins(e.labels)]
    pure = [e for e in told if Origin.VAL not in m.origins(e.labels)] or told
    loops = {e.loops[0] for e in pure}
    clocked = {loop for loop in loops if len(loops) > 1 and _tests_clock(m.loop_table[loop].node)}
    if clocked:
        end = max(rank[e.position] for e in pure if e.loops[0] in clocked)
        early = {e.loops[0] for e in pure if rank[e.position] < end}
        loops = clocked | early
    return frozenset(loops)


def _tests_clock(node: ast.AST | None) -> bool:
    """Whether a loop may end by the clock: an ``if`` or ``while`` test on a time limit, or a flag set from one."""
    for part in [] if node is None else ast.walk(node):
        name = part.id if isinstance(part, ast.Name) else part.attr if isinstance(part, ast.Attribute) else ""
        if name and _CLOCK.search(name):
            return True
    return False


def entry_site(m: Machine, event: Event) -> Site:
    """Where the batch that ``event`` consumes was got: the call of the loader, else the first access."""
    for n in reversed(m.of_kind(event.labels, "acc")):
        entry: Site = m.labels[n].key[3]
        return entry
    return event.site


def read_origin(origins: frozenset[Origin]) -> Origin:
    """The origin that matters most."""
    return next(o for o in (Origin.VAL, Origin.TRAIN, Origin.GENERATED, Origin.RANDOM) if o in origins)
