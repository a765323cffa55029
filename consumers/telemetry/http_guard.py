"""Who may ask over HTTP: the right name, no foreign page, and the token for all but `/livez`.

    Host     a name we are reached by, or 421: a page whose name was pointed at this machine (DNS
             rebinding) sends its own
    Origin   none or our own, or 403: browsers name the page that asks
    token    `Authorization: Bearer …`, or 401; without a configured token reading is open, which
             settings allow on loopback only, and nothing can be changed (403)

Knows no route but `/livez`. Nothing of a request is logged or sent back.
"""

import hmac
import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from consumers.settings import Settings


class Guard:
    """Lets through to `app` what may pass."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._token = settings.http_token
        self._names = frozenset(_names(settings))
        self._any_address = _unspecified(settings.http_host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let the application answer it."""
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *ALWAYS]
            await send(message)

        if (refused := self._refusal(scope)) is None:
            await self._app(scope, receive, guarded)
        else:
            status, why = refused
            wanted = {"www-authenticate": "Bearer"} if status == 401 else None
            answer = JSONResponse({"error": why}, status_code=status, headers=wanted)
            await answer(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, "this is not the host you ask for; see STREAM_REC_HTTP_NAMES"
        origin = headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != host.lower():
            return 403, "no page of another origin may ask"
        if scope["path"] == "/livez":
            return None
        if self._token is None:
            if scope["method"] in READING:
                return None
            return 403, "changes need a token, and none is configured: STREAM_REC_HTTP_TOKEN"
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self._token.encode())
        if scheme.lower() != "bearer" or not right:
            return 401, "wants Authorization: Bearer and the token"
        return None

    def _is_ours(self, host: str) -> bool:
        # Not the port: a forwarder may have changed it, and rebinding always shows in the name.
        name = _name(host)
        return name in self._names or (self._any_address and _is_address(name))


def bearer(token: str | None) -> dict[str, str]:
    """Return the header by which our own programs ask each other.

    >>> bearer("secret")
    {'Authorization': 'Bearer secret'}
    """
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _names(settings: Settings) -> Iterable[str]:
    yield settings.http_host.lower()
    yield from (name.strip().lower() for name in settings.http_names.split(",") if name.strip())
    if settings.on_loopback:
        yield from LOOPBACK
    elif _unspecified(settings.http_host):
        yield from (*LOOPBACK, socket.gethostname().lower())


def _name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return False


def _unspecified(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


LOOPBACK = ("127.0.0.1", "::1", "localhost")
READING = frozenset({"GET", "HEAD"})
ALWAYS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
