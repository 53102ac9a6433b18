"""Waits for clients and serves them one after the other."""

from __future__ import annotations

import logging
import os
import socket
import threading

from invrim.errors import OptionError
from invrim.serving.answer import Service
from invrim.serving.session import serve_client, turn_away
from invrim.serving.wire import Limits

_log = logging.getLogger(__name__)
_WAITING = 16
"""Clients that may wait for their turn; the system refuses further ones."""
_LAST_PORT = 2**16 - 1
_GLANCE = 0.25
"""Seconds between looks at whether to stop."""


class Server:
    """A listening socket, from the moment it is made.

    Parameters
    ----------
    service
        What every client is served with.
    host, port
        Where to listen; port 0 takes a free one, and `address` says which.
    limits
        For every client.

    Raises
    ------
    OptionError
        The address is taken, or not this machine's.
    """

    def __init__(self, service: Service, *, host: str = "127.0.0.1", port: int = 9002, limits: Limits) -> None:
        self.service = service
        self.limits = limits
        self._stopping = threading.Event()
        self._socket = _listening(host, port)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]

    def serve(self) -> None:
        """Serve until `stop`; then finish the client that is there, and tell those that wait."""
        with self._socket:
            while not self._stopping.is_set():
                try:
                    connection, address = self._socket.accept()
                except TimeoutError:
                    continue
                _log.info("%s:%s connected", *address[:2])
                serve_client(connection, self.service, self.limits, self._stopping)
            self._turn_away_waiting()

    def stop(self) -> None:
        """Let `serve` come to its end; may be called from a signal handler or another thread."""
        self._stopping.set()

    def _turn_away_waiting(self) -> None:
        self._socket.settimeout(0)
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            turn_away(connection, self.limits, self._stopping)


def _listening(host: str, port: int) -> socket.socket:
    if not 0 <= port <= _LAST_PORT:
        raise OptionError(f"expected a port from 0 to {_LAST_PORT}, got {port}. The usual one is 9002.")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=_WAITING)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
        raise OptionError(
            f"expected a free address of this machine to listen at, got {host}:{port} ({reason.lower()}). "
            f"Choose another --host or --port."
        ) from error
    listening.settimeout(_GLANCE)
    return listening
