"""HTTP of one program: `/livez`, `/readyz`, `/metrics`, served from a thread of its own.

On loopback unless told otherwise; `http_guard.py` decides who may ask. Knows nothing of the program
but the three questions it asks; a program may add routes.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from consumers.settings import Settings
from consumers.telemetry.http_guard import Guard
from consumers.telemetry.metrics import exposition
from stream_rec.errors import ConfigurationError

Answer = dict[str, bool | int | float | str]


class Health:
    """The server of one program; `start` returns once it listens.

    `ready` answers with its reasons: ready when every boolean in it is true. `alive` is true while
    the loop ticks.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        ready: Callable[[], Answer],
        alive: Callable[[], bool],
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        self._registry = registry
        self._ready = ready
        self._alive = alive
        self._app = Starlette(
            routes=[
                Route("/livez", self._livez),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
                *routes,
            ]
        )
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, settings: Settings) -> str:
        """Listen where the settings say (port 0: a free one); return the address as `HOST:PORT`.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        host, port = settings.http_host, settings.http_port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server((host, port), family=family)
        except OSError as error:
            msg = f"cannot listen on {host}:{port}: {error.strerror}"
            raise ConfigurationError(msg) from error
        config = uvicorn.Config(
            Guard(self._app, settings),
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="http", daemon=True
        )
        self._thread.start()
        until = time.monotonic() + START_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        name = f"[{host}]" if ":" in host else host
        return f"{name}:{listener.getsockname()[1]}"

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=START_S)

    async def _livez(self, _: Request) -> Response:
        alive = self._alive()
        return JSONResponse({"alive": alive}, status_code=200 if alive else 503)

    async def _readyz(self, _: Request) -> Response:
        answer = self._ready()
        ready = all(value for value in answer.values() if isinstance(value, bool))
        return JSONResponse({"ready": ready, **answer}, status_code=200 if ready else 503)

    async def _metrics(self, _: Request) -> Response:
        return Response(exposition(self._registry), media_type=CONTENT_TYPE_LATEST)


LOG = logging.getLogger(__name__)
START_S = 5.0
