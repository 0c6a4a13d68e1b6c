"""The same requests on a Ray cluster (the optional extra ``ray``): each slot is one worker process on some node.

An actor holds a worker exactly as `auditor.sweep.pool` does, so limits, forks and isolation are the same. Every node
needs golf-audit installed and the repository at the same path. An actor or a node that dies costs the request that it
had, which is answered with the reason; a new actor takes its place.
"""

from __future__ import annotations

import contextlib
import importlib
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from auditor.core.text import plain
from auditor.sweep.pool import Handle, begin
from auditor.sweep.types import SweepError
from auditor.sweep.worker import Config, config_of

START_S = 300.0
REACH_S = 10.0
STOP_S = 5.0
NO_RAY = "--engine ray needs the extra: pip install 'golf-audit[ray]'"
MAX_LOST = 20
"""Actors that may be lost in a row before the sweep gives up: then it is the cluster that fails."""


def _reach(address: str) -> None:
    """Try ``host:port``: Ray itself waits for minutes where nobody listens. Raises `SweepError`."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except (OSError, OverflowError) as error:
        raise SweepError(f"no Ray cluster at {plain(address, 100)}: {plain(error, 200)}") from error


class Keeper:
    """Holds one worker on the node where it lives."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config_of(config)
        self._handle: Handle | None = None

    def start(self) -> str:
        """Start the worker; an error's sentence, or nothing."""
        try:
            self._handle = Handle(self._config)
            begin(self._handle)
        except SweepError as error:
            return str(error)
        return ""

    def work(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do one request; a worker that dies or hangs is replaced before the next one."""
        if self._handle is None and (reason := self.start()):
            return {"error": reason}
        assert self._handle is not None
        answer = self._handle.wait(request)
        if answer is None:
            reason = self._handle.fate()
            self._handle.close()
            self._handle = None
            return {"error": reason}
        return answer

    def stop(self) -> None:
        """End the worker, so that it can remove what it laid out."""
        if self._handle is not None:
            self._handle.close(grace=STOP_S)
            self._handle = None

    def node(self) -> str:
        """Name of the node that it lives on."""
        return str(importlib.import_module("ray").get_runtime_context().get_node_id())


class RayEngine:
    """Actors on a cluster: ``jobs`` of them, or one for each of its CPUs."""

    def __init__(self, config: Config, jobs: int, address: str = "") -> None:
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError:
            raise SweepError(NO_RAY) from None
        _reach(address)
        self._ray = ray
        self._mine = not ray.is_initialized()
        try:
            if self._mine:
                ray.init(address=address or None, log_to_driver=False, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise SweepError(f"no Ray cluster at {address or 'this machine'}: {plain(error, 300)}") from error
        self._config = asdict(config)
        self.slots = jobs or max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._actor = ray.remote(num_cpus=1, max_concurrency=1)(Keeper)
        self._running: dict[Any, tuple[Any, Mapping[str, Any]]] = {}
        self._lost = 0
        self._idle: list[Any] = []
        try:
            self._idle = [self._actor.remote(self._config) for _ in range(self.slots)]
            for problem in ray.get([actor.start.remote() for actor in self._idle], timeout=START_S):
                if problem:
                    raise SweepError(problem)
        except BaseException as error:
            self.close()
            if isinstance(error, ray.exceptions.RayError):
                raise SweepError(f"the Ray cluster gave no {self.slots} workers: {plain(error, 300)}") from error
            raise

    def nodes(self) -> set[str]:
        """The nodes on which idle workers live."""
        return set(self._ray.get([actor.node.remote() for actor in self._idle], timeout=START_S))

    def submit(self, request: Mapping[str, Any]) -> None:
        """Give the request to an idle actor."""
        actor = self._idle.pop(0)
        self._running[actor.work.remote(dict(request))] = (actor, request)

    def collect(self, timeout: float) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Answers that came within ``timeout`` seconds. Raises `SweepError` when the cluster fails."""
        if not self._running:
            time.sleep(timeout)
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
        done = []
        for reference in ready:
            actor, request = self._running.pop(reference)
            try:
                answer = self._ray.get(reference)
                self._lost = 0
            except self._ray.exceptions.RayError as error:
                answer = {"error": f"its Ray worker was lost: {plain(error, 200)}"}
                actor = self._replaced(actor)
            self._idle.append(actor)
            done.append((request, answer))
        return done

    def close(self) -> None:
        """End the actors, and leave the cluster if this sweep joined it."""
        with contextlib.suppress(Exception):
            self._ray.get([actor.stop.remote() for actor in self._idle], timeout=2 * STOP_S)
        for actor in (*self._idle, *(actor for actor, _ in self._running.values())):
            with contextlib.suppress(Exception):
                self._ray.kill(actor)
        self._idle, self._running = [], {}
        if self._mine:
            self._ray.shutdown()

    def _replaced(self, lost: Any) -> Any:
        self._lost += 1
        if self._lost > MAX_LOST:
            raise SweepError(f"{self._lost} Ray workers in a row were lost")
        with contextlib.suppress(Exception):
            self._ray.kill(lost)
        return self._actor.remote(self._config)
