"""What a scanner, or whoever connects, can do wrong: there is an answer to everything, and a reason in it."""

import logging
import socket
import struct
import time

import ismrmrd
import numpy as np
import pytest
import torch

from data.ismrmrd_files import PointScan
from invrim.data.formats.opening import open_scan
from invrim.models.baselines import ZeroFilled
from invrim.operators import ifft_centred
from serving.mrd_client import connect, converse, encoded, reply_on, serving

SCAN = PointScan(matrix=(32, 24, 1))


class Failing(ZeroFilled):
    def forward(self, _):
        raise RuntimeError("no such kernel")


class NotFinite(ZeroFilled):
    def magnitude(self, fidelity, images):
        return super().magnitude(fidelity, images) * float("nan")


class OfFourCoils(ZeroFilled):
    coil_maps, images, coil_images = False, 4, True


@pytest.fixture(scope="module")
def server():
    with serving(ZeroFilled(), timeout=1.5) as running:
        yield running


def root_sum_of_squares(tmp_path, scan=SCAN):
    """From the file, by the definition."""
    kspace = open_scan(scan.write(tmp_path / "a.h5")).read().kspace
    return torch.linalg.vector_norm(ifft_centred(kspace), dim=1).numpy()


def is_well(server):
    return len(converse(server, encoded(SCAN)).images) == 1


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Failing(), "RuntimeError: no such kernel"),
        (NotFinite(), "expected finite images of the model, got NaN or Inf"),
        (OfFourCoils(), "expected 4 coils, for which these weights were trained, got 3"),
    ],
)
def test_a_model_that_fails_leaves_the_conventional_image(model, reason, tmp_path, caplog):
    with serving(model) as server, caplog.at_level(logging.WARNING, "invrim.serving"):
        reply = converse(server, encoded(SCAN))
    (image,) = reply.images
    np.testing.assert_allclose(image.data[0, 0].T, root_sum_of_squares(tmp_path)[0], rtol=1e-5)
    assert image.field_of_view[:] == pytest.approx((96, 88, 5))
    assert image.meta["SeriesDescription"] == "root sum of squares"
    assert reason in image.meta["ImageComments"]
    assert reply.texts[0].startswith("No image by tiny, but the root sum of squares: ")
    assert reason in reply.texts[0]
    assert reason in caplog.text


def test_one_coil_fails_alike(tmp_path):
    scan = PointScan(matrix=(32, 24, 1), coils=1)
    with serving(Failing()) as server:
        (image,) = converse(server, encoded(scan)).images
    np.testing.assert_allclose(image.data[0, 0].T, root_sum_of_squares(tmp_path, scan)[0], rtol=1e-5)


def lying(**fields):
    """The header of a readout that announces more than follows."""
    head = ismrmrd.AcquisitionHeader()
    for name, value in fields.items():
        setattr(head, name, value)
    return struct.pack("<H", 1008) + bytes(head)


@pytest.mark.parametrize(
    "lie",
    [
        lying(number_of_samples=65535, active_channels=65535),
        lying(number_of_samples=65535, active_channels=1, trajectory_dimensions=65535),
        struct.pack("<HI", 3, 2**32 - 1),
        struct.pack("<HI", 5, 2**31),
        struct.pack("<H", 1022) + bytes(198) + struct.pack("<Q", 2**64 - 1),
        struct.pack("<H", 1026) + struct.pack("<HxxxxxxQIIIHHfHxx", 1, 0, 0, 0, 0, 65535, 65535, 0, 0) + bytes(4),
    ],
    ids=["samples", "trajectory", "header", "text", "attributes", "waveform"],
)
def test_a_lying_length_is_refused_before_it_is_read(server, lie, tmp_path):
    start = time.monotonic()
    reply = converse(server, encoded(SCAN, close=False) + lie)
    assert time.monotonic() - start < 1.4, "the time-out, 1.5 s, has no part in it"
    assert "expected at most 100,000,000 bytes, got " in reply.texts[0]
    np.testing.assert_allclose(reply.images[0].data[0, 0].T, root_sum_of_squares(tmp_path)[0], rtol=1e-5)


def test_a_stream_that_is_too_long_as_a_whole(tmp_path):
    size = len(encoded(SCAN))
    with serving(ZeroFilled(), max_size=size) as server:  # what Python needs for a readout counts, too
        reply = converse(server, encoded(SCAN))
    assert "Send less, or raise --max-size" in reply.texts[0]
    assert len(reply.images) == 1


def test_a_header_that_asks_for_too_much(server):
    huge = SCAN.header.replace("<y>24</y>", "<y>60000</y>").replace("<z>1</z>", "<z>60000</z>")
    reply = converse(server, encoded(SCAN, header=huge))
    assert "expected k-space of at most 100,000,000 bytes" in reply.texts[0]
    assert len(reply.images) == 1


@pytest.mark.parametrize("left", [1, 100, 400])
def test_a_stop_in_the_middle_of_a_message(server, left):
    with connect(server) as connection:
        connection.sendall(encoded(SCAN, close=False)[:-left])
        connection.shutdown(1)
        reply = reply_on(connection)
    assert "more bytes of a message, got the end" in reply.texts[0]
    (image,) = reply.images
    assert image.data.shape == (1, 1, 24, 32)
    assert image.data.max() > 0


def test_silence_is_not_waited_for_forever(server):
    with connect(server) as connection:
        connection.sendall(encoded(SCAN, close=False))
        reply = reply_on(connection)
    assert "within 1.5 s, got too little. Raise --timeout" in reply.texts[0]
    assert len(reply.images) == 1


def test_dripping_is_not_waited_for_either(server):
    with connect(server) as connection:
        connection.sendall(encoded(SCAN, close=False) + lying(number_of_samples=500, active_channels=3))
        start = time.monotonic()
        while time.monotonic() - start < 2.5:
            time.sleep(0.1)
            try:
                connection.sendall(b"\0")
            except OSError:
                break
        assert "got too little" in reply_on(connection).texts[0]


@pytest.mark.parametrize("number", [0, 6, 1007, 1030, 65535])
def test_a_message_of_no_known_kind(server, number):
    reply = converse(server, encoded(SCAN, close=False) + struct.pack("<H", number) + bytes(100))
    assert f"expected a message of 1, 2, 3, 4, 5, 1008, 1022, 1026, got {number}" in reply.texts[0]
    assert len(reply.images) == 1


@pytest.mark.parametrize("header", ["", "<no", "<other/>", "\x01\x02", SCAN.header[:400]])
def test_a_header_that_is_none(server, header, tmp_path):
    reply = converse(server, encoded(SCAN, header=header))
    assert "expected an ISMRMRD header" in reply.texts[0]
    assert reply.texts[1] == "Lines were placed by their counters alone, and the field of view is given as 0"
    (image,) = reply.images
    assert image.matrix_size == (64, 24, 1), "the oversampling is not known, either"
    assert tuple(image.field_of_view) == (0, 0, 0)
    middle = image.data[0, 0].T[16:48]
    expected = root_sum_of_squares(tmp_path)[0]
    # The inner half of the oversampled readout: the unitary transform's sqrt(2) is in it by then, too.
    np.testing.assert_allclose(middle, expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_an_asymmetric_echo_without_a_header_keeps_all_its_samples(server):
    acquisitions = SCAN.acquisitions()
    whole = np.stack([acquisition.data for acquisition in acquisitions], axis=1)
    for n, acquisition in enumerate(acquisitions):
        late = ismrmrd.Acquisition(acquisition.getHead())
        late.resize(number_of_samples=44, active_channels=3)
        late.center_sample = 32 - 20
        late.data[:] = whole[:, n, 20:]
        acquisitions[n] = late
    (image,) = converse(server, encoded(SCAN, acquisitions=acquisitions, header="")).images
    assert image.matrix_size == (64, 24, 1)
    whole[..., :20] = 0
    coils = ifft_centred(torch.from_numpy(whole).transpose(1, 2))
    expected = torch.linalg.vector_norm(coils, dim=0).numpy()
    np.testing.assert_allclose(image.data[0, 0].T, expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_entities_are_not_expanded(server):
    bomb = '<!DOCTYPE a [<!ENTITY b "' + "c" * 1000 + '">]>'
    reply = converse(server, encoded(SCAN, header=SCAN.header.replace("<ismrmrdHeader", bomb + "<ismrmrdHeader")))
    assert "expected an ISMRMRD header without a document type" in reply.texts[0]


def test_no_header_at_all(server):
    raw = encoded(SCAN)
    start = raw.index(struct.pack("<H", 1008), 1026 + 6)
    reply = converse(server, raw[start:])
    assert len(reply.images) == 1
    assert reply.texts


def test_samples_that_are_not_finite_are_left_out(server, tmp_path):
    acquisitions = SCAN.acquisitions()
    acquisitions[3].data[1, 5] = np.nan
    acquisitions[7].data[0, 0] = 1e25
    reply = converse(server, encoded(SCAN, acquisitions=acquisitions))
    assert "got NaN or Inf in readout 3" in reply.texts[0]
    assert "2 of 24 readouts were left out." in reply.texts
    rest = PointScan(matrix=(32, 24, 1), lines=lambda _: [n for n in range(24) if n not in (3, 7)])
    np.testing.assert_allclose(reply.images[0].data[0, 0].T, root_sum_of_squares(tmp_path, rest)[0], rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 64), (3, 0), (0, 0), (5, 64), (3, 12)])
def test_readouts_of_another_shape_are_left_out(server, shape):
    acquisitions = [*SCAN.acquisitions(), ismrmrd.Acquisition.from_array(np.ones(shape, np.complex64))]
    reply = converse(server, encoded(SCAN, acquisitions=acquisitions))
    assert "expected one active_channels" in reply.texts[0] or "expected one number_of_samples" in reply.texts[0]
    assert "1 of 25 readouts were left out." in reply.texts
    assert len(reply.images) == 1


def test_nothing_but_empty_readouts(server):
    empty = ismrmrd.Acquisition.from_array(np.ones((0, 64), np.complex64))
    reply = converse(server, encoded(SCAN, acquisitions=[empty] * 3))
    assert reply.images == []
    assert "expected coils and samples, got 0 and 64" in reply.texts[0]
    assert reply.texts[1] == (
        "No conventional image either: expected a readout with finite samples below 1e+15, got none. Measure again."
    )


def test_steps_outside_the_matrix(server):
    acquisitions = SCAN.acquisitions()
    acquisitions[-1].idx.kspace_encode_step_1 = 24
    reply = converse(server, encoded(SCAN, acquisitions=acquisitions))
    assert "expected encoding steps within a matrix of 24 x 1" in reply.texts[0]
    assert reply.images[0].matrix_size == (64, 25, 1)


def test_counters_that_ask_for_too_much(server):
    acquisitions = SCAN.acquisitions()
    acquisitions[-1].idx.kspace_encode_step_1 = acquisitions[-1].idx.kspace_encode_step_2 = 65535
    reply = converse(server, encoded(SCAN, acquisitions=acquisitions))
    assert reply.images == []
    assert "No conventional image either: expected k-space of at most" in reply.texts[1]


@pytest.mark.parametrize("raw", [struct.pack("<H", 4), encoded(SCAN, acquisitions=[])], ids=["close", "header only"])
def test_nothing_to_reconstruct(server, raw):
    reply = converse(server, raw)
    assert reply.images == []
    assert reply.texts == ["Nothing to reconstruct: expected readouts, got none before the end"]


def test_a_client_that_leaves_without_its_answer(server):
    for raw in (b"", encoded(SCAN), encoded(SCAN)[:3000]):
        with connect(server) as connection:
            connection.sendall(raw)
    assert is_well(server)


def test_a_client_that_is_busy_sending_still_gets_its_answer():
    """It reads only after it has sent all, more than sockets hold, though the server has long refused."""
    # 24 lines spread over a large matrix make an image of 6 MB, which sockets do not hold either.
    acquisitions = [ismrmrd.Acquisition.from_array(np.ones((1, 1024), np.complex64)) for _ in range(24)]
    for number, acquisition in enumerate(acquisitions):
        acquisition.idx.kspace_encode_step_1 = 65 * number
    raw = encoded(SCAN, header="", acquisitions=acquisitions, close=False) + struct.pack("<H", 0)
    with serving(ZeroFilled(), max_size=2 * 10**7) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        client.connect(server.address)
        client.sendall(raw + bytes(3 * 10**7))
        (image,) = reply_on(client).images
    assert image.data.nbytes > 6 * 10**6
