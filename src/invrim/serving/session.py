"""One client, from its first byte to the end of its answer."""

from __future__ import annotations

import logging
import socket
import threading
import time

from invrim.errors import StreamError
from invrim.serving import protocol
from invrim.serving.answer import Answer, Service
from invrim.serving.measurement import Measurement, receive
from invrim.serving.wire import Limits, Wire

_log = logging.getLogger(__name__)


def serve_client(connection: socket.socket, service: Service, limits: Limits, stopping: threading.Event) -> None:
    """Receive, reconstruct, answer, close. Nothing that a client does raises."""
    wire = Wire(connection, limits, stopping)
    try:
        started = time.monotonic()
        measurement = receive(wire)
        if not wire.received:
            _log.info("sent nothing")
            wire.send(protocol.close_message())
            return
        _log.info("%s, in %.1f s", _received(measurement, wire.received), time.monotonic() - started)
        started = time.monotonic()
        answer = _answer(service, measurement)
        _send(wire, answer)
        _log.info("%s, in %.1f s", _sent(answer, service), time.monotonic() - started)
    except StreamError as error:
        _log.warning("the answer did not arrive: %s", error)
    finally:
        wire.finish()


def turn_away(connection: socket.socket, limits: Limits, stopping: threading.Event) -> None:
    """Tell a client that waited that its turn will not come."""
    wire = Wire(connection, limits, stopping)
    try:
        _send(wire, Answer(texts=("The server is stopping: nothing was reconstructed. Send it again later.",)))
    except StreamError as error:
        _log.warning("a waiting client could not be told: %s", error)
    finally:
        wire.finish()


def _answer(service: Service, measurement: Measurement) -> Answer:
    if measurement.is_empty:
        why = measurement.broken or "expected readouts, got none before the end"
        images = f", beside {measurement.images} images, which are not for this server" if measurement.images else ""
        return Answer(texts=(f"Nothing to reconstruct: {why}{images}",))
    return service.answer(measurement)


def _send(wire: Wire, answer: Answer) -> None:
    for text in answer.texts:
        wire.send(protocol.text_message(text))
        _log.log(logging.INFO if answer.images and answer.is_learned else logging.WARNING, "told the client: %s", text)
    for image in answer.images:
        wire.send(protocol.image_message(image))
    wire.send(protocol.close_message())


def _received(measurement: Measurement, size: int) -> str:
    readouts = f"{len(measurement.heads)} readout{'s' if len(measurement.heads) != 1 else ''}"
    if measurement.is_empty:
        return f"received {readouts}"
    head = measurement.heads[0].view(protocol.READOUT_HEADER)[0]
    coils, samples = head["active_channels"], head["number_of_samples"]
    return f"received {readouts} of {coils} coil{'s' if coils != 1 else ''} and {samples} samples ({size / 1e6:.1f} MB)"


def _sent(answer: Answer, service: Service) -> str:
    if not answer.images:
        return "answered without an image"
    x, y, z = answer.images[0].matrix_size
    size = f"{x} x {y}" + (f" x {z}" if z > 1 else "")
    count = f"{len(answer.images)} image{'s' if len(answer.images) > 1 else ''}"
    return f"sent {count} of {size} by {service.name if answer.is_learned else 'root sum of squares'}"
