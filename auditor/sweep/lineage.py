"""Which submission a submission comes from: the earlier one with which it has the most code in common."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from auditor.sweep.store import unpacked

LEAST = 0.3
"""Share of common code below which no other program is called the nearest."""
BLOCK = 512
"""Programs that are compared with all others at a time."""


@dataclass(frozen=True, slots=True)
class Program:
    """A submission's script: its functions by name, each with a digest and a length."""

    submission: int
    order: tuple[int, str]
    """Pull request number and path: earlier ones come first."""
    digest: str
    functions: dict[str, tuple[str, int]]


def rows(db: sqlite3.Connection) -> list[tuple[int, int | None, float, int, str, str, str]]:
    """(submission, nearest earlier one, similarity, same program, changed, added, removed) of every script."""
    programs = _programs(db)
    found: list[tuple[int, int | None, float, int, str, str, str]] = []
    for program, (index, similarity) in zip(programs, nearest(programs), strict=True):
        other = programs[index] if index is not None and similarity >= LEAST else None
        if other is None:
            found.append((program.submission, None, 0.0, 0, "[]", "[]", "[]"))
            continue
        changed, added, removed = (json.dumps(names) for names in difference(other, program))
        same = int(other.digest == program.digest)
        found.append((program.submission, other.submission, round(similarity, 4), same, changed, added, removed))
    return found


def nearest(programs: list[Program]) -> Iterator[tuple[int | None, float]]:
    """Index of the most similar earlier program and the similarity, of each; ``programs`` are in their order.

    The similarity is the length of the functions that both have (by digest, whatever their names) over the length of
    those that either has. Of equals the earliest counts.
    """
    if not programs:
        return
    matrix = _matrix(programs)
    lengths = np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
    for start in range(0, len(programs), BLOCK):
        block = matrix[start : start + BLOCK]
        common = (block @ matrix.T).toarray()
        union = lengths[start : start + BLOCK, None] + lengths[None, :] - common
        share = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
        for offset in range(block.shape[0]):
            index = start + offset
            if index == 0:
                yield None, 0.0
                continue
            best = int(share[offset, :index].argmax())
            yield best, float(share[offset, best])


def difference(old: Program, new: Program) -> tuple[list[str], list[str], list[str]]:
    """Names of functions that changed, came, went; one that only has another name counts as neither come nor gone."""
    both = old.functions.keys() & new.functions.keys()
    changed = sorted(n for n in both if old.functions[n][0] != new.functions[n][0])
    before, after = ({digest for digest, _ in p.functions.values()} for p in (old, new))
    added = sorted(n for n in new.functions.keys() - old.functions.keys() if new.functions[n][0] not in before)
    removed = sorted(n for n in old.functions.keys() - new.functions.keys() if old.functions[n][0] not in after)
    return changed, added, removed


def _matrix(programs: list[Program]) -> sparse.csr_matrix:
    """One row a program, one column a function: the root of its length, so that products are lengths."""
    columns: dict[str, int] = {}
    places: list[tuple[int, int, float]] = []
    for row, program in enumerate(programs):
        for digest, size in set(program.functions.values()):
            places.append((row, columns.setdefault(digest, len(columns)), float(size) ** 0.5))
    if not places:
        return sparse.csr_matrix((len(programs), 1))
    at, column, weight = zip(*places, strict=True)
    return sparse.csr_matrix((weight, (at, column)), shape=(len(programs), len(columns)))


def _programs(db: sqlite3.Connection) -> list[Program]:
    found = []
    for submission, number, path, digest, facts in db.execute(
        "SELECT s.id, p.number, s.path, s.program, s.facts FROM submissions s JOIN pulls p ON p.id = s.pull"
        " WHERE s.program IS NOT NULL ORDER BY p.number IS NULL, p.number, p.ref, s.path"
    ):
        functions = {name: (entry[0], entry[1]) for name, entry in unpacked(facts)["functions"].items()}
        found.append(Program(submission, (number or 0, path), digest, functions))
    return found
