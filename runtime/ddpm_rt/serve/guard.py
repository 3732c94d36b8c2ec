"""What every request must pass before a route sees it: host, origin, token, the size and the pace of its body."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ..artifacts.bounded_read import read_bytes
from ..errors import DdpmRtError
from .refusals import Refused
from .server_limits import ServerLimits

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Result = TypeVar("Result")
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/v2/health/live", "/v2/health/ready")  # for the probes of an orchestrator, which have no token
LOOPBACK = ("localhost", "127.0.0.1", "::1")
TOKEN_BYTES = 4096
SHORTEST_TOKEN = 16


def read_token(path: Path) -> bytes:
    """The token in a file, one line. Raises DdpmRtError for a file that cannot be read or holds no token."""
    token = read_bytes(path, "write a token into it, such as the output of `openssl rand -hex 32`", TOKEN_BYTES).strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.decode("ascii").isprintable() or b" " in token:
        raise DdpmRtError(
            f"{path} must hold one token of at least {SHORTEST_TOKEN} printable ASCII characters without a space; write"
            " one with `openssl rand -hex 32`"
        )
    return token


class Guard:
    """An ASGI application around another, which refuses with `Refused` what it must not see.

    `hosts` are the values of the header Host that are answered, None for any: a page of another site can make a
    browser ask a server on the loopback interface under a name of its own (DNS rebinding). `public` are the paths that
    need no token.
    """

    def __init__(
        self, app: App, *, limits: ServerLimits, token: bytes | None, hosts: Collection[str] | None,
        origins: Collection[str], public: Collection[str],
    ) -> None:  # fmt: skip
        self._app, self._limits, self._token = app, limits, token
        self._hosts, self._origins, self._public = hosts, origins, {*public, *OPEN_PATHS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        self._check_host(headers)
        self._check_origin(scope["method"], headers)
        self._check_token(scope, headers)
        await self._app(scope, self._paced(headers, receive), send)

    def _check_host(self, headers: dict[str, str]) -> None:
        host = urlsplit(f"//{headers.get('host', '')}").hostname if _is_host(headers.get("host", "")) else None
        if self._hosts is not None and host not in self._hosts:
            raise Refused(421, "this server does not answer to this host; start it with --allow-host NAME")

    def _check_origin(self, method: str, headers: dict[str, str]) -> None:
        """A page of another site may make a browser send some requests, even if it cannot read the answer."""
        origin = headers.get("origin")
        if origin is None or method in ("GET", "HEAD", "OPTIONS") or origin in self._origins:
            return
        if origin.partition("://")[2] != headers.get("host"):
            raise Refused(403, "requests from the pages of other sites are refused; start it with --cors-origin ORIGIN")

    def _check_token(self, scope: Scope, headers: dict[str, str]) -> None:
        preflight = scope["method"] == "OPTIONS" and "access-control-request-method" in headers
        if self._token is None or scope["path"] in self._public or preflight:
            return
        kind, _, sent = headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(sent.strip().encode("latin-1"), self._token)
        if kind.lower() != "bearer" or not right:
            raise Refused(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})

    def _paced(self, headers: dict[str, str], receive: Receive) -> Receive:
        """`receive`, which refuses a body that is too large or too slow."""
        limit, seconds = self._limits.body_bytes, self._limits.body_seconds
        too_large = Refused(413, f"the body is larger than the limit of {limit} bytes", {"Connection": "close"})
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > limit:
            raise too_large
        deadline, received, is_whole = asyncio.get_running_loop().time() + seconds, 0, False

        async def paced() -> Message:
            nonlocal received, is_whole
            if is_whole:  # what follows is the end of the connection, for which a response may wait for long
                return await receive()
            left = deadline - asyncio.get_running_loop().time()
            try:
                message = await within(receive(), left)
            except TimeoutError:
                raise Refused(408, f"the body took longer than {seconds:g} s", {"Connection": "close"}) from None
            received += len(message.get("body", b""))
            if received > limit:
                raise too_large
            is_whole = not message.get("more_body", False)
            return message

        return paced


async def within(awaitable: Awaitable[Result], seconds: float) -> Result:
    """The result, if it comes in time. Raises TimeoutError.

    `asyncio.wait_for` is not used: before Python 3.12 it swallows a cancellation that comes together with the result.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait({task}, timeout=max(seconds, 0.001))
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()


def _is_host(text: str) -> bool:
    return 0 < len(text) < 300 and not set(text) & set("/?#@\\ ")


def hosts_for(bound_to: str, allowed: Collection[str]) -> frozenset[str] | None:
    """The hosts that are answered: any, unless the server is bound to the loopback interface or some are listed."""
    if bound_to not in LOOPBACK and not allowed:
        return None
    return frozenset({*LOOPBACK, bound_to.lower(), *(name.lower() for name in allowed)})
