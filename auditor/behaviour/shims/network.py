"""No network: every attempt is noted as "Connected" and fails at once, without waiting for a name server."""

from __future__ import annotations

import errno
import socket
from typing import Any

from auditor.behaviour.shims.context import ShimContext
from auditor.behaviour.shims.errors import GuestOffline
from auditor.behaviour.shims.modules import make_module, place_module

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "", None})
_DOWNLOADS = {
    "huggingface_hub": ("hf_hub_download", "snapshot_download", "login", "upload_file", "upload_folder", "HfApi",
                        "create_repo", "list_repo_files", "whoami", "HfFileSystem"),
}  # fmt: skip


def install(ctx: ShimContext) -> None:
    """Patch ``socket`` (and with it urllib, http and requests) and place an offline ``huggingface_hub``."""
    _patch_names(ctx)
    _patch_connect(ctx)
    for name, functions in _DOWNLOADS.items():
        module = make_module(name, {function: _offline(ctx, "huggingface.co") for function in functions})
        place_module(ctx, module)
        errors = make_module(f"{name}.utils", {"HfHubHTTPError": GuestOffline, "EntryNotFoundError": GuestOffline,
                                               "RepositoryNotFoundError": GuestOffline})  # fmt: skip
        place_module(ctx, errors)


def _offline(ctx: ShimContext, host: str) -> Any:
    def fail(*args: Any, **kwargs: Any) -> Any:
        ctx.emit("Connected", {"host": host})
        raise GuestOffline(host)

    return fail


def _is_local(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    return name in _LOCAL


def _patch_names(ctx: ShimContext) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_local(host):
            return real(host, *args, **kwargs)
        ctx.emit("Connected", {"host": str(host)})
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def gethostbyname(host: str) -> str:
        if host == socket.gethostname() or _is_local(host):
            return "127.0.0.1"
        ctx.emit("Connected", {"host": str(host)})
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    ctx.patch(socket, "getaddrinfo", getaddrinfo)
    ctx.patch(socket, "gethostbyname", gethostbyname)


def _patch_connect(ctx: ShimContext) -> None:
    real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex")}

    def refused(self: socket.socket, address: Any) -> bool:
        if self.family == socket.AF_UNIX or not isinstance(address, tuple) or _is_local(address[0]):
            return False
        ctx.emit("Connected", {"host": str(address[0])})
        return True

    def connect(self: socket.socket, address: Any) -> None:
        if refused(self, address):
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        real["connect"](self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        return errno.ENETUNREACH if refused(self, address) else int(real["connect_ex"](self, address))

    ctx.patch(socket.socket, "connect", connect)
    ctx.patch(socket.socket, "connect_ex", connect_ex)
