"""HTTPS on one asyncio loop (uvicorn); what blocks runs in bounded pools of threads (`answering`)."""

import asyncio
import socket
import ssl
import threading
from asyncio import sslproto
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from mftgit.adapters.http_server.answering import Answering
from mftgit.adapters.http_server.connections import (
    KEEP_ALIVE_S,
    ConnectionLimits,
    Connections,
    Listener,
)
from mftgit.adapters.http_server.doors import Door, Doorkeeper
from mftgit.adapters.http_server.protocol import protocol_of
from mftgit.adapters.tls.server import restrict
from mftgit.errors import ConfigError, MftgitError

_BACKLOG = 2048
_GRACE_S = 3
_TLS_BUFFER_BYTES = 32 << 10  # each connection holds one; asyncio's own size is 256 KiB


class HttpServer:
    """The controller's HTTPS server, in a thread of its own."""

    def __init__(
        self,
        doors: list[Door],
        *,
        doorkeeper: Doorkeeper,
        listen: tuple[str, int],
        certificate: Path,
        key: Path,
        limits: ConnectionLimits | None = None,
    ) -> None:
        """Bind the port; nothing is served before ``start``. Without ``limits``, this process may open more files.

        Raises:
            MftgitError: the address cannot be bound.
            ConfigError: the certificate cannot be read.
        """
        self._answering = Answering(doors, doorkeeper)
        self._connections = Connections(limits or ConnectionLimits.of_process())
        self._socket = _bind(listen)
        self._socket.room = self._connections
        self._certificate, self._key = certificate, key
        try:
            self._config = _config(
                self._answering.app, self._connections, certificate=certificate, key=key
            )
            self._server = uvicorn.Server(self._config)
        except (OSError, ssl.SSLError) as error:
            self._socket.close()
            raise self._unusable(error) from error
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._started = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to serve; the loop is running when this returns."""
        self._socket.listen(_BACKLOG)
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Stop taking connections, give open requests a moment, and end."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_GRACE_S + 2)
        self._answering.stop()
        self._socket.close()

    def reload_certificate(self) -> None:
        """Show what the certificate's files hold now to whoever connects from now on.

        Raises:
            ConfigError: they hold no certificate and its key; the one before is shown on.
        """
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key)
        except (OSError, ssl.SSLError) as error:
            raise self._unusable(error) from error
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self._show_certificate)

    def _show_certificate(self) -> None:
        """Run by the loop, which makes the handshakes, so that none sees half of it."""
        if self._config.ssl is not None:
            self._config.ssl.load_cert_chain(self._certificate, self._key)

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(f"{self._certificate}, {self._key}: not a TLS certificate: {error}")

    def _serve(self) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            sslproto.SSLProtocol.max_size = _TLS_BUFFER_BYTES
            self._started.set()
            watch = asyncio.create_task(self._connections.watch())
            await self._server.serve(sockets=[self._socket])
            watch.cancel()
            await self._connections.end_all()

        asyncio.run(serve())


def _bind(listen: tuple[str, int]) -> Listener:
    host, port = listen
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = Listener(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}: {error}") from error
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(listen)
    except OSError as error:
        bound.close()
        raise MftgitError(
            f"cannot listen on {host}:{port}: {error.strerror}: "
            "stop what uses the port, or choose another with `mftgit controller init --listen`"
        ) from error
    return bound


def free_port(host: str) -> int:
    """Return a port of ``host`` that nothing listens on just now."""
    with _bind((host, 0)) as bound:
        return int(bound.getsockname()[1])


def _config(
    app: ASGIApp, connections: Connections, *, certificate: Path, key: Path
) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=protocol_of(connections),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    config.load()
    if config.ssl is not None:
        restrict(config.ssl)
    return config
