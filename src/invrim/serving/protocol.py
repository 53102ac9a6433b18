"""Messages of the MRD streaming protocol, as bytes.

A message is a number, uint16, and what belongs to it. All numbers are little endian.

References
----------
.. [MRD] ISMRMRD, *Message types*, https://ismrmrd.readthedocs.io/en/latest/mrd_messages.html
"""

from __future__ import annotations

import ctypes
import struct
from enum import IntEnum

import ismrmrd
import numpy as np
from ismrmrd.hdf5 import acquisition_header_dtype

CONFIG_FILE_BYTES = 1024
NUMBER = struct.Struct("<H")
TEXT_LENGTH = struct.Struct("<I")
ATTRIBUTE_LENGTH = struct.Struct("<Q")
READOUT_HEADER: np.dtype = acquisition_header_dtype
IMAGE_HEADER_BYTES = ctypes.sizeof(ismrmrd.ImageHeader)
WAVEFORM_HEADER_BYTES = ctypes.sizeof(ismrmrd.WaveformHeader)
_BYTES_OF_TYPE = {1: 2, 2: 2, 3: 4, 4: 4, 5: 4, 6: 8, 7: 8, 8: 16}
"""Of an image's voxel, by the header's ``data_type``."""


class Message(IntEnum):
    """Numbers of the messages that this server knows."""

    CONFIG_FILE = 1
    CONFIG_TEXT = 2
    HEADER = 3
    CLOSE = 4
    TEXT = 5
    READOUT = 1008
    IMAGE = 1022
    WAVEFORM = 1026


def text_message(text: str) -> bytes:
    """Encode a text for the client's log; ends in NUL, as clients in C may expect."""
    content = text.encode() + b"\0"
    return NUMBER.pack(Message.TEXT) + TEXT_LENGTH.pack(len(content)) + content


def close_message() -> bytes:
    """Encode that nothing more follows."""
    return NUMBER.pack(Message.CLOSE)


def image_message(image: ismrmrd.Image) -> bytes:
    """Encode an image with its header and attributes."""
    content: bytes = image.to_bytes()
    return NUMBER.pack(Message.IMAGE) + content


def readout_lengths(head: np.ndarray) -> tuple[int, int]:
    """Bytes of trajectory and data that follow the header of a readout."""
    samples = int(head["number_of_samples"])
    return 4 * samples * int(head["trajectory_dimensions"]), 8 * samples * int(head["active_channels"])


def voxel_bytes(header: bytes) -> int | None:
    """Bytes of the voxels that an image's header announces; None if their type is none of the standard's."""
    image = ismrmrd.ImageHeader.from_buffer_copy(header)
    size = _BYTES_OF_TYPE.get(image.data_type)
    x, y, z = map(int, image.matrix_size)
    return None if size is None else size * x * y * z * int(image.channels)


def waveform_bytes(header: bytes) -> int:
    """Bytes of the samples that follow the header of a waveform."""
    waveform = ismrmrd.WaveformHeader.from_buffer_copy(header)
    return 4 * int(waveform.channels) * int(waveform.number_of_samples)
