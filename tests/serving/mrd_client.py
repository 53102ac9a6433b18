"""A scanner's side of the protocol, as the ISMRMRD library speaks it, over a real socket."""

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field

import ismrmrd
from ismrmrd import ConfigFile, ProtocolDeserializer, ProtocolSerializer

from invrim.serving import Limits, Server, Service


@dataclass
class Reply:
    images: list = field(default_factory=list)
    texts: list = field(default_factory=list)


@contextlib.contextmanager
def serving(model, *, name="tiny", **limits):
    """A server in a thread of its own; yields it, and stops it."""
    limits = Limits(**{"max_size": 10**8, "timeout": 5.0, **limits})
    server = Server(Service(model=model, name=name, max_size=limits.max_size), port=0, limits=limits)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()


def connect(server):
    return socket.create_connection(server.address, timeout=20)


def reply_on(connection):
    """Read until the server closes, as it must."""
    reply = Reply()
    with connection.makefile("rb") as stream:
        for item in ProtocolDeserializer(stream).deserialize():
            if isinstance(item, ismrmrd.Image):
                reply.images.append(item)
            else:
                assert item.endswith("\0")
                reply.texts.append(item[:-1])
        assert not stream.read(), "nothing after the close message"
    return reply


def converse(server, raw):
    """Send bytes and return the reply."""
    with connect(server) as connection:
        connection.sendall(raw)
        return reply_on(connection)


class Recorder:
    """Takes what a serializer writes."""

    def __init__(self):
        self.content = bytearray()

    def write(self, piece):
        self.content += bytes(piece)

    def flush(self):
        pass


def encoded(scan, *, acquisitions=None, header=None, close=True):
    """A scan as one stream, written by the ISMRMRD library."""
    recorder = Recorder()
    serializer = ProtocolSerializer(recorder)
    serializer.serialize(ConfigFile("default.xml"))
    text = (scan.header if header is None else header).encode() + b"\0"
    recorder.write(struct.pack("<HI", 3, len(text)) + text)
    for acquisition in scan.acquisitions() if acquisitions is None else acquisitions:
        serializer.serialize(acquisition)
    if close:
        serializer.close()
    return bytes(recorder.content)
