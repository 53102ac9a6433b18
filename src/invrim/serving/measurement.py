"""What a client has sent: header, readouts, and why no more of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import ismrmrd
import numpy as np
from ismrmrd.hdf5 import acquisition_dtype

from invrim.errors import StreamError
from invrim.serving import protocol
from invrim.serving.protocol import Message
from invrim.serving.wire import Wire

_log = logging.getLogger(__name__)
_KEPT = 512
"""Bytes that Python needs for a readout besides its content; counted, so that many empty ones are no way round."""
_SHOWN = 200
"""Characters of a client's text in the log."""
_LAST_IN_MEASUREMENT = 1 << (ismrmrd.ACQ_LAST_IN_MEASUREMENT - 1)


@dataclass
class Measurement:
    """A stream so far."""

    xml: bytes = b""
    """ISMRMRD header; empty if there was none."""
    heads: list[np.ndarray] = field(default_factory=list)
    """Of every readout the fixed header, uint8."""
    trajectories: list[np.ndarray] = field(default_factory=list)
    samples: list[np.ndarray] = field(default_factory=list)
    """Float32, real and imaginary parts by turns, coil by coil."""
    images: int = 0
    """How many the client has sent, which this server takes no notice of."""
    broken: StreamError | None = None
    """Why the stream ended before its time; None if it did not."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to reconstruct."""
        return not self.heads

    def table(self) -> np.ndarray:
        """The readouts as an ISMRMRD file has them: structured ``(n,)`` with the fields head, traj and data."""
        table = np.empty(len(self.heads), acquisition_dtype)
        if self.heads:
            table["head"] = np.concatenate(self.heads).view(protocol.READOUT_HEADER)
        for row, (trajectory, samples) in enumerate(zip(self.trajectories, self.samples, strict=True)):
            table["traj"][row], table["data"][row] = trajectory, samples
        return table


def receive(wire: Wire) -> Measurement:
    """Read a client's messages until it closes, flags a readout as the last, or something goes wrong.

    What goes wrong is no exception but `Measurement.broken`: what came before deserves an answer.
    """
    measurement = Measurement()
    try:
        while _take_message(wire, measurement):
            pass
    except StreamError as error:
        measurement.broken = error
    return measurement


def _take_message(wire: Wire, measurement: Measurement) -> bool:
    """Read one message; False if it was the last."""
    wire.begin()
    number = wire.read_number(protocol.NUMBER)
    match number:
        case Message.CLOSE:
            return False
        case Message.READOUT:
            return _take_readout(wire, measurement)
        case Message.HEADER:
            measurement.xml = _text(wire).split(b"\0", 1)[0]
        case Message.CONFIG_FILE:
            _ignore("configuration file", wire.read(protocol.CONFIG_FILE_BYTES).tobytes())
        case Message.CONFIG_TEXT | Message.TEXT:
            _ignore("configuration" if number == Message.CONFIG_TEXT else "text", _text(wire))
        case Message.WAVEFORM:
            wire.skip(protocol.waveform_bytes(wire.read(protocol.WAVEFORM_HEADER_BYTES).tobytes()))
        case Message.IMAGE:
            _skip_image(wire)
            measurement.images += 1
        case _:
            known = ", ".join(str(int(kind)) for kind in Message)
            raise StreamError(
                f"expected a message of {known}, got {number}, of unknown length. Send what MRD's page on message "
                f"types describes."
            )
    return True


def _take_readout(wire: Wire, measurement: Measurement) -> bool:
    raw = wire.read(protocol.READOUT_HEADER.itemsize)
    head = raw.view(protocol.READOUT_HEADER)[0]
    of_trajectory, of_samples = protocol.readout_lengths(head)
    wire.claim(_KEPT)
    trajectory = wire.read(of_trajectory).view("<f4")
    samples = wire.read(of_samples).view("<f4")
    measurement.heads.append(raw)
    measurement.trajectories.append(trajectory)
    measurement.samples.append(samples)
    return not int(head["flags"]) & _LAST_IN_MEASUREMENT


def _skip_image(wire: Wire) -> None:
    size = protocol.voxel_bytes(wire.read(protocol.IMAGE_HEADER_BYTES).tobytes())
    wire.skip(wire.read_number(protocol.ATTRIBUTE_LENGTH))
    if size is None:
        raise StreamError("expected an image of a type that MRD has, got another, of unknown length. Send raw data.")
    wire.skip(size)


def _text(wire: Wire) -> bytes:
    return wire.read(wire.read_number(protocol.TEXT_LENGTH)).tobytes()


def _ignore(what: str, content: bytes) -> None:
    """Note what the client says, without what could move a terminal's cursor."""
    said = content.split(b"\0", 1)[0].decode(errors="replace")
    _log.info("%s from the client, of no effect here: %r", what, said[:_SHOWN])
