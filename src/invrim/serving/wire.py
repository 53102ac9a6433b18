"""One client's socket, with a time for every message and a size for all of them."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass

import numpy as np

from invrim.errors import OptionError, StreamError

_GLANCE = 0.25
"""Seconds between looks at the clock, and at whether the server is asked to stop."""
_HURRY = 5.0
"""Seconds that each further message may take once the server is asked to stop."""
_LINGER = 2.0
"""Seconds of silence after which an answered client that does not hang up is left alone."""
_SHORT_LINGER = 0.5
"""The same while the server is stopping."""
_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a client may ask for."""

    max_size: int = 4 * 10**9
    """Bytes of all its messages, and of the k-space that they fill."""
    timeout: float = 120.0
    """Seconds for one message, whether it comes from the client or goes there."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout < float("inf"):
            raise OptionError(f"expected a time-out above 0 seconds, got {self.timeout:g}. Use e.g. 120.")
        if self.max_size < 1:
            raise OptionError(f"expected a maximal size above 0 bytes, got {self.max_size}. Use e.g. 4GB.")


class Wire:
    """Reads, skips and sends; whatever goes wrong is a `StreamError`.

    Parameters
    ----------
    connection
        A connected socket. It is closed by `finish`, not before.
    limits
        Sizes are counted before a byte is read or kept.
    stopping
        Once set, the client has to hurry.
    """

    def __init__(self, connection: socket.socket, limits: Limits, stopping: threading.Event) -> None:
        self.limits = limits
        self.claimed = 0
        self.received = 0
        self._socket = connection
        self._stopping = stopping
        self._deadline = 0.0
        self._hurry: float | None = None
        connection.settimeout(_GLANCE)

    def begin(self) -> None:
        """Start the clock for the next message."""
        self._deadline = time.monotonic() + self.limits.timeout
        self._hurry = None

    def claim(self, size: int) -> None:
        """Count bytes that are about to be read or kept.

        Raises
        ------
        StreamError
            They would be too many.
        """
        if self.claimed + size > self.limits.max_size:
            raise StreamError(
                f"expected at most {self.limits.max_size:,} bytes, got {size:,} more after {self.claimed:,}. "
                f"Send less, or raise --max-size."
            )
        self.claimed += size

    def read(self, size: int) -> np.ndarray:
        """Read exactly ``size`` bytes, uint8; memory is touched only as they come."""
        self.claim(size)
        found = np.empty(size, np.uint8)
        view, done = found.data, 0
        while done < size:
            done += self._receive_into(view[done:], size - done)
        return found

    def read_number(self, kind: struct.Struct) -> int:
        """Read one number."""
        return int(kind.unpack(self.read(kind.size).tobytes())[0])

    def skip(self, size: int) -> None:
        """Read exactly ``size`` bytes and forget them."""
        self.claim(size)
        scratch = memoryview(bytearray(min(size, _CHUNK)))
        while size > 0:
            size -= self._receive_into(scratch[:size], size)

    def send(self, message: bytes) -> None:
        """Send a whole message. What still comes meanwhile is thrown away: who is busy sending does not read."""
        self.begin()
        rest = memoryview(message)
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while rest:
                ready = selector.select(_GLANCE)
                events = ready[0][1] if ready else 0
                if events & selectors.EVENT_READ and not self._discard():
                    selector.modify(self._socket, selectors.EVENT_WRITE)
                if events & selectors.EVENT_WRITE:
                    rest = rest[self._send_some(rest) :]
                self._require_time(f"take {len(rest)} more bytes of the answer")

    def finish(self) -> None:
        """Say that the answer is complete, wait until the client has hung up or is silent, and close."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
            self.begin()
            silent_since = time.monotonic()
            patience = _SHORT_LINGER if self._stopping.is_set() else _LINGER
            while time.monotonic() < min(self._deadline, silent_since + patience):
                try:
                    if not self._socket.recv(_CHUNK):
                        break
                    silent_since = time.monotonic()
                except TimeoutError:
                    continue
        except OSError:
            pass  # The client is gone, which is what we waited for.
        finally:
            self._socket.close()

    def _receive_into(self, view: memoryview, missing: int) -> int:
        while True:
            try:
                count = self._socket.recv_into(view)
            except TimeoutError:
                self._require_time(f"send {missing} more bytes of a message")
                continue
            except OSError as error:
                raise _lost(error) from error
            if not count:
                raise StreamError(f"expected {missing} more bytes of a message, got the end. Send it again.")
            self.received += count
            self._require_time(f"send {missing} more bytes of a message")
            return count

    def _send_some(self, rest: memoryview) -> int:
        try:
            return self._socket.send(rest[: 16 * _CHUNK])
        except TimeoutError:
            return 0
        except OSError as error:
            raise _lost(error) from error

    def _discard(self) -> bool:
        """Throw away what has come; False where nothing more will."""
        try:
            return bool(self._socket.recv(_CHUNK))
        except OSError as error:
            raise _lost(error) from error

    def _require_time(self, what: str) -> None:
        now = time.monotonic()
        if self._stopping.is_set() and self._hurry is None:
            self._hurry = now + _HURRY
        if now > self._deadline:
            raise StreamError(
                f"expected the client to {what} within {self.limits.timeout:g} s, got too little. Raise --timeout."
            )
        if self._hurry is not None and now > self._hurry:
            raise StreamError(f"expected the client to {what} while the server is stopping, got too little.")


def _lost(error: OSError) -> StreamError:
    return StreamError(f"expected the client to stay, got: {error.strerror or error}.")
