"""The server over time: one client after the other, flat memory, a graceful end."""

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from data.ismrmrd_files import PointScan
from invrim.cli.main import main
from invrim.errors import OptionError
from invrim.models import IRIM, save_model
from invrim.models.baselines import ZeroFilled
from invrim.serving import Limits, Server, Service
from serving.mrd_client import connect, converse, encoded, reply_on, serving

SCAN = PointScan(matrix=(16, 12, 1), coils=2)
STREAM = encoded(SCAN)
BAD, TRACED, GOOD = 1000, 100, 20
"""Streams; tracing memory makes them several times slower."""
STATM = Path("/proc/self/statm")
MOST_KEPT = 1000
"""Bytes a stream that Python may keep. Some 200 were measured, over thousands; a stream's content is 10,000."""
MOST_GROWTH = 50 * 2**20
"""Bytes of the process over all of them: what the allocator does not give back. A lying length is up to 100 MB."""


class Gate(ZeroFilled):
    """Waits to be let through."""

    def __init__(self):
        super().__init__()
        self.entered, self.open = threading.Event(), threading.Event()

    def forward(self, fidelity):
        self.entered.set()
        assert self.open.wait(20)
        return super().forward(fidelity)


def test_a_second_client_waits_for_the_first():
    model = Gate()
    with serving(model) as server, connect(server) as first, connect(server) as second:
        first.sendall(STREAM)
        second.sendall(STREAM)
        assert model.entered.wait(10)
        second.settimeout(0.5)
        with pytest.raises(TimeoutError):
            second.recv(1)
        second.settimeout(20)
        model.open.set()
        replies = [reply_on(first), reply_on(second)]
    assert [len(reply.images) for reply in replies] == [1, 1]
    assert np.array_equal(replies[0].images[0].data, replies[1].images[0].data)


def test_stopping_finishes_one_client_and_tells_the_next():
    model = Gate()
    with serving(model) as server, connect(server) as first, connect(server) as second:
        first.sendall(STREAM)
        assert model.entered.wait(10)
        server.stop()
        model.open.set()
        assert len(reply_on(first).images) == 1
        assert reply_on(second).texts == [
            "The server is stopping: nothing was reconstructed. Send it again later."
        ]  # fmt: skip


def test_stopping_hurries_a_client_that_dawdles(monkeypatch):
    monkeypatch.setattr("invrim.serving.wire._HURRY", 0.5)
    with serving(ZeroFilled(), timeout=60) as server, connect(server) as client:
        client.sendall(encoded(SCAN, close=False))
        time.sleep(0.3)
        server.stop()
        reply = reply_on(client)
    assert "while the server is stopping, got too little" in reply.texts[0]
    assert len(reply.images) == 1


def resident_bytes():
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fuzzed(rng):
    """A good stream with a few bytes changed, a piece cut out or put in, or its end missing."""
    raw = bytearray(STREAM)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(len(raw)))
        match int(rng.integers(5)):
            case 0:
                raw[place] ^= 1 << int(rng.integers(8))
            case 1:
                raw[place : place + 8] = rng.bytes(8)
            case 2:
                del raw[place : place + int(rng.integers(1, 400))]
            case 3:
                raw[place:place] = rng.bytes(int(rng.integers(1, 400)))
            case 4:
                del raw[max(place, 2) :]
    return bytes(raw)


def send_bad_streams(server, count, rng):
    for _ in range(count):
        raw = fuzzed(rng)
        with connect(server) as client:
            client.sendall(raw)
            client.shutdown(1)
            reply = reply_on(client)
        assert reply.images or reply.texts or not raw


def bytes_kept(server, count, rng):
    """By Python and NumPy, for every one of so many bad streams."""
    tracemalloc.start()
    try:
        send_bad_streams(server, 10, rng)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        send_bad_streams(server, count, rng)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()


@pytest.fixture
def quiet():
    """Without the log, of which pytest would keep every line."""
    log = logging.getLogger("invrim.serving")
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(logging.NOTSET)


def test_a_thousand_bad_streams_leave_a_good_server(quiet):
    rng = np.random.default_rng(0)
    with serving(ZeroFilled()) as server:
        reference = converse(server, STREAM).images[0].data
        send_bad_streams(server, TRACED, rng)
        resident = resident_bytes() if STATM.exists() else 0
        send_bad_streams(server, BAD - 2 * TRACED, rng)
        assert not resident or resident_bytes() - resident < MOST_GROWTH
        assert bytes_kept(server, TRACED, rng) < MOST_KEPT
        for _ in range(GOOD):
            (image,) = converse(server, STREAM).images
            assert np.array_equal(image.data, reference)


class Hoarder(Service):
    """Forgets nothing."""

    hoard: ClassVar = []

    def answer(self, measurement):
        self.hoard.append(measurement)
        return super().answer(measurement)


def test_the_law_rejects_a_server_that_keeps_what_it_received(quiet, monkeypatch):
    monkeypatch.setattr("serving.mrd_client.Service", Hoarder)
    with serving(ZeroFilled()) as server:
        assert bytes_kept(server, 50, np.random.default_rng(0)) > MOST_KEPT


@pytest.fixture
def command(tmp_path):
    """`invrim serve` as a process; yields it and its port."""
    torch.manual_seed(0)
    weights = save_model(IRIM(steps=1, hidden=[4], strides=[1], channels=4, head="eta"), tmp_path / "w.safetensors")
    code = "import sys; from invrim.cli.main import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--port", "0", "--weights", str(weights), "--device", "cpu"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = process.stdout.readline()
    yield process, int(line.split(",")[0].rsplit(":", 1)[1])
    process.kill()
    process.communicate()


class Address:
    def __init__(self, port):
        self.address = ("127.0.0.1", port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_client_finish(command, number):
    process, port = command
    with connect(Address(port)) as client:
        client.sendall(STREAM[:4000])
        time.sleep(0.5)
        process.send_signal(number)
        time.sleep(0.5)
        client.sendall(STREAM[4000:])
        assert len(reply_on(client).images) == 1
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert err == ""
    assert "received 12 readouts of 2 coils and 32 samples" in out
    assert "sent 1 image of 16 x 12 by w, in" in out
    assert out.endswith("stopped\n")


def test_an_address_that_is_taken(capsys):
    with serving(ZeroFilled()) as server:
        assert main(["serve", "--port", str(server.address[1])]) == 2
    error = capsys.readouterr().err
    assert f"got 127.0.0.1:{server.address[1]} (address already in use). Choose another" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "70000"], "expected a port from 0 to 65535, got 70000"),
        (["--max-size", "much"], "expected a --max-size such as '8GB'"),
        (["--timeout", "0"], "expected a time-out above 0 seconds, got 0"),
        (["--timeout", "nan"], "expected a time-out above 0 seconds, got nan"),
        (["--weights", "nope"], "expected a weights file"),
    ],
)
def test_options_out_of_range(options, message, capsys):
    assert main(["serve", *options]) == 2
    assert message in capsys.readouterr().err


def test_limits_of_a_server_in_python():
    with pytest.raises(OptionError, match="expected a maximal size above 0 bytes, got 0"):
        Limits(max_size=0)
    with pytest.raises(OptionError, match="expected a free address of this machine"):
        Server(Service(model=ZeroFilled(), name="a", max_size=1), host="192.0.2.1", limits=Limits())
