"""A sweep: look at every pull request, audit what is new in it, keep each result, tell what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from auditor.sweep import lineage
from auditor.sweep.pool import Engine
from auditor.sweep.progress import Progress
from auditor.sweep.store import Store, Todo
from auditor.sweep.tool import key, tool
from auditor.sweep.types import Audited, Pull, planned

WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """What a sweep is to do, besides where."""

    source: str
    """As the user named it."""
    base: str
    """Commit of the base branch; of a folder of folders empty."""
    edition: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the audit that a report depends on."""
    retry_errors: bool = False


@dataclass(slots=True)
class Course:
    """What one sweep did."""

    run: int = 0
    pulls: int = 0
    looked_at: int = 0
    submissions: int = 0
    audited: int = 0
    shared: int = 0
    up_to_date: int = 0
    refs: tuple[str, ...] = ()
    seconds: float = 0.0
    audit_seconds: float = 0.0
    """Wall time of the part that audits."""


def sweep(pulls: list[Pull], asked: Asked, store: Store, engine: Engine, progress: Progress) -> Course:
    """Bring the store up to date with ``pulls``. One transaction a result: it may be ended at any moment."""
    start = time.monotonic()
    course = Course(pulls=len(pulls), refs=tuple(p.ref for p in pulls))
    course.run = store.begin(asked.source, tool(), asked.edition, asked.options)
    _look(pulls, asked, store, engine, progress, course)
    begun = time.monotonic()
    _audit(asked, store, engine, progress, course)
    course.audit_seconds = time.monotonic() - begun
    progress.phase("comparing programs", 1)
    store.put_lineage(lineage.rows(store.db))
    progress.step("")
    course.seconds = time.monotonic() - start
    return course


def _look(pulls: list[Pull], asked: Asked, store: Store, engine: Engine, progress: Progress, course: Course) -> None:
    """Find the submissions of every pull request that changed since it was looked at."""
    known = store.plan_keys()
    wanted = {p.ref: f"{p.head} {asked.base} {tool()}" if p.head else "" for p in pulls}
    fresh = {p.ref: p for p in pulls if not p.head or known.get(p.ref) != wanted[p.ref]}
    course.looked_at = len(fresh)
    progress.phase("looking for submissions", len(fresh))
    requests = ({"do": "plan", "ref": p.ref, "head": p.head} for p in fresh.values())
    for request, answer in work(engine, requests):
        pull = fresh[request["ref"]]
        if "planned" in answer:
            store.planned(pull, planned(answer["planned"]), wanted[pull.ref])
        else:
            store.unplanned(pull, str(answer["error"]))
        progress.step(pull.ref)


def _audit(asked: Asked, store: Store, engine: Engine, progress: Progress, course: Course) -> None:
    """Audit the submissions that have no result under their key, each content once."""
    todos = store.todos(course.refs)
    keys = {t.id: key(t.content, asked.edition, asked.options) for t in todos}
    open_ = [t for t in todos if t.key != keys[t.id] or (t.error and asked.retry_errors)]
    course.submissions, course.up_to_date = len(todos), len(todos) - len(open_)
    progress.phase("auditing", len(open_))
    queue = _Queue(open_, keys, store)
    for request, answer in work(engine, queue.requests()):
        todo = queue.asked.pop(request["id"])
        result = Audited(**answer["audited"]) if "audited" in answer else Audited(error=str(answer["error"]))
        store.audited(todo.id, keys[todo.id], result)
        course.audited += 1
        progress.step(todo.ref)
        for other in queue.told(todo, result):
            progress.step(other.ref)
    course.shared = queue.shared
    for _ in range(queue.shared_at_once):
        progress.step("")


class _Queue:
    """Submissions that wait: of those with one key only the first is audited, the others get its report."""

    def __init__(self, todos: list[Todo], keys: Mapping[int, str], store: Store) -> None:
        self.asked: dict[int, Todo] = {}
        self.shared = self.shared_at_once = 0
        self._keys = keys
        self._store = store
        self._done = store.by_key()
        self._twins: dict[str, list[Todo]] = {}
        self._ready = list(reversed(todos))
        self._running: set[str] = set()

    def requests(self) -> Iterator[dict[str, Any] | None]:
        """Requests as long as there are any; None while all that is left waits for one that runs."""
        while self._ready or self._twins:
            if not self._ready:
                yield None
                continue
            todo = self._ready.pop()
            mine = self._keys[todo.id]
            if mine in self._running:
                self._twins.setdefault(mine, []).append(todo)
            elif mine in self._done and self._done[mine] != todo.id:
                self._share(todo, self._done[mine])
                self.shared_at_once += 1
            else:
                self._running.add(mine)
                self.asked[todo.id] = todo
                yield {"do": "audit", "id": todo.id, "ref": todo.ref, "head": todo.head, "path": todo.path}

    def told(self, todo: Todo, result: Audited) -> list[Todo]:
        """A result came: its twins get the report, or after an error one of them is audited in turn."""
        mine = self._keys[todo.id]
        self._running.discard(mine)
        twins = self._twins.pop(mine, [])
        if result.error:
            self._ready += reversed(twins)
            return []
        self._done[mine] = todo.id
        for twin in twins:
            self._share(twin, todo.id)
        return twins

    def _share(self, todo: Todo, other: int) -> None:
        self._store.shared(todo.id, other, self._keys[todo.id])
        self.shared += 1


def work(
    engine: Engine, requests: Iterator[dict[str, Any] | None]
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Keep the engine full; (request, answer) as they come. A None among the requests: ask again after an answer."""
    running, more = 0, True
    while more or running:
        while more and running < engine.slots:
            try:
                request = next(requests)
            except StopIteration:
                more = False
                break
            if request is None:
                break
            engine.submit(request)
            running += 1
        if running:
            for pair in engine.collect(WAIT_S):
                running -= 1
                yield pair
