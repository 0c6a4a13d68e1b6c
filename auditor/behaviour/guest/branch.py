"""Paused copies of a run, taken when it first writes its weights: they go on later, with other weights in the artifact.

So the perturbed run shares everything up to the artifact with run A. A copy waits for one line of JSON on its socket;
end of file means that it is not wanted.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from auditor.behaviour.guest import perturb
from auditor.behaviour.guest.channel import Sender
from auditor.behaviour.shims.context import ShimContext

WAYS = ("objects", "bytes")
"""How each copy changes the artifact (see `auditor.behaviour.guest.perturb`), in the order of the sockets."""

ANSWER_SECONDS = 5.0


class Brancher:
    """Watches the events of a run and forks its copies at the first artifact of weights."""

    def __init__(self, ctx: ShimContext, sender: Sender, pipes: Sequence[int], site: perturb.Site) -> None:
        self._ctx, self._sender, self._pipes, self._site = ctx, sender, list(pipes), site
        self._emit = ctx.emit
        ctx.emit = self._seen

    def _seen(self, kind: str, fields: Mapping[str, Any]) -> None:
        self._emit(kind, fields)
        if kind == "ArtifactWritten" and self._pipes and not perturb.NO_WEIGHTS.search(str(fields["path"])):
            pipes, self._pipes = self._pipes, []
            self._fork(pipes, fields)

    def _fork(self, pipes: Sequence[int], fields: Mapping[str, Any]) -> None:
        self._emit("Branched", {})
        self._sender.flush()
        for way, pipe in zip(WAYS, pipes, strict=False):
            if os.fork() == 0:
                self._wait(way, pipe, fields)
                return
            os.close(pipe)

    def _wait(self, way: str, pipe: int, fields: Mapping[str, Any]) -> None:
        """In the copy: wait for its order, then go on with the artifact's weights changed."""
        end = socket.socket(fileno=pipe)
        with end.makefile("rb") as orders:
            line = orders.readline()
        if not line:
            os._exit(0)
        os.setsid()
        end.sendall(struct.pack("<i", os.getpid()))
        self._sender.stop_after(json.loads(line)["stop_after"])
        self._ctx.emit = self._emit
        perturb.install(self._ctx, way, self._site).adopt(fields)


def pairs() -> list[tuple[socket.socket, socket.socket]]:
    """One connection for each way: the server's end and the copy's."""
    return [socket.socketpair() for _ in WAYS]


def resume(end: socket.socket, order: Mapping[str, Any]) -> int:
    """Let the copy at ``end`` go on; its process id, or 0 when there is none."""
    end.settimeout(ANSWER_SECONDS)
    with contextlib.suppress(OSError):
        end.sendall(json.dumps(order).encode() + b"\n")
        told = end.recv(4)
        if len(told) == 4:
            return int(struct.unpack("<i", told)[0])
    return 0
