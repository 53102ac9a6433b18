"""Whole scans over a real socket: the same images as from a file, each at its place."""

import ismrmrd
import numpy as np
import pytest
import torch

from data.formats.test_ismrmrd import ORIENTATIONS, SIZES, in_plane
from data.ismrmrd_files import PointScan
from invrim.data.formats.opening import open_scan
from invrim.models import IRIM
from invrim.models.baselines import ZeroFilled
from invrim.reconstruction import Job, reconstruct_scan
from serving.mrd_client import connect, converse, encoded, reply_on, serving


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return IRIM(steps=2, hidden=[4], strides=[1], channels=4, head="eta").eval()


@pytest.fixture(scope="module")
def server(model):
    with serving(model) as running:
        yield running


def from_file(model, scan, tmp_path):
    return reconstruct_scan(model, open_scan(scan.write(tmp_path / "a.h5")), Job(out=tmp_path))[0].numpy()


SCANS = {
    "several slices, odd": PointScan(matrix=(31, 23, 1), slices=3, points=((5, 5, 9),), brightness=(1,)),
    "one coil": PointScan(matrix=(32, 24, 1), coils=1),
    "accelerated, repeated": PointScan(
        matrix=(32, 24, 1), repetitions=2, slices=2, acceleration=2, points=((5, 5, 3),), brightness=(1,),
        lines=lambda repetition: sorted({*range(repetition, 24, 2), *range(8, 17)}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_images_are_those_of_the_file(server, model, scan, tmp_path):
    reply = converse(server, encoded(scan))
    wanted = from_file(model, scan, tmp_path)
    assert len(reply.images) == len(wanted)
    for image, expected in zip(reply.images, wanted, strict=True):
        assert image.data.dtype == np.float32
        np.testing.assert_allclose(image.data[0, 0].T, expected, rtol=1e-5, atol=1e-6 * wanted.max())


def test_counters_tell_slices_and_repetitions_apart(server):
    images = converse(server, encoded(SCANS["accelerated, repeated"])).images
    assert [(image.repetition, image.slice, image.image_index) for image in images] == [
        (0, 0, 1), (0, 1, 2), (1, 0, 3), (1, 1, 4),
    ]  # fmt: skip
    assert [round(image.position[2]) for image in images] == [3, 9, 3, 9]


def place_of(image, voxel):
    """LPS of a voxel ``(x, y, z)`` by nothing but the image's own header."""
    axes = np.array([image.read_dir[:], image.phase_dir[:], image.slice_dir[:]])
    size = np.array(image.matrix_size)
    return (
        np.array(image.position[:]) + ((np.array(voxel) - size // 2) * np.array(image.field_of_view[:]) / size) @ axes
    )


def brightest(image):
    z, y, x = np.unravel_index(image.data[0].argmax(), image.data[0].shape)
    return place_of(image, (x, y, z))


@pytest.mark.parametrize("directions", ORIENTATIONS.values(), ids=ORIENTATIONS)
@pytest.mark.parametrize(("matrix", "phase_margin"), SIZES.values(), ids=SIZES)
def test_a_point_lands_at_its_place(server, directions, matrix, phase_margin):
    position = (1.0, -2.0, 3.0)
    point = in_plane(directions, position)[1]
    scan = PointScan(
        points=[point], brightness=[1], directions=directions, position=position, matrix=matrix,
        phase_margin=phase_margin,
    )  # fmt: skip
    (image,) = converse(server, encoded(scan)).images
    assert image.field_of_view[:] == pytest.approx((96, 88, 5))
    assert np.abs(brightest(image) - point).max() < 1.8, "a voxel is 2.2 mm"


def test_a_point_of_a_volume_lands_at_its_place(tmp_path):
    directions, position = ORIENTATIONS["oblique"], np.array([1.0, -2.0, 3.0])
    point = position + np.array((12, -8, 9)) @ directions
    scan = PointScan(
        points=[point], brightness=[1], directions=directions, position=position, matrix=(20, 16, 12), fov=(96, 80, 48)
    )
    with serving(ZeroFilled()) as server:
        (image,) = converse(server, encoded(scan)).images
    assert image.matrix_size == (20, 16, 12)
    assert image.field_of_view[:] == pytest.approx((96, 80, 48))
    assert np.abs(brightest(image) - point).max() < 3.0, "a voxel is 5 mm"


def test_attributes_say_what_it_is(server):
    reply = converse(server, encoded(PointScan(matrix=(32, 24, 1))))
    (image,) = reply.images
    assert reply.texts == []
    assert image.image_type == ismrmrd.IMTYPE_MAGNITUDE
    assert image.meta["SeriesDescription"] == "invrim tiny"
    assert "ImageComments" not in image.meta
    assert np.array(image.meta["ImageRowDir"], float) == pytest.approx(image.read_dir[:])


def test_the_last_flag_ends_a_scan_without_a_close_message(server, model, tmp_path):
    scan = PointScan(matrix=(32, 24, 1))
    acquisitions = scan.acquisitions()
    acquisitions[-1].set_flag(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    with connect(server) as connection:
        connection.sendall(encoded(scan, acquisitions=acquisitions, close=False))
        (image,) = reply_on(connection).images
    np.testing.assert_allclose(image.data[0, 0].T, from_file(model, scan, tmp_path)[0], rtol=1e-5, atol=1e-5)


def test_waveforms_texts_and_noise_are_no_hindrance(server):
    scan = PointScan(matrix=(32, 24, 1))
    waveform = ismrmrd.Waveform.from_array(np.ones((2, 7), np.uint32))
    noise = ismrmrd.Acquisition.from_array(np.ones((3, 50), np.complex64))
    noise.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    plain = encoded(scan)  # the noise is no noise, for it is the same in all coils
    head, body = plain[: 2 + 1024], plain[2 + 1024 :]
    extra = b"".join([
        b"\x05\x00\x03\x00\x00\x00{}\0",
        b"\x02\x04" + waveform.to_bytes(),
        b"\xf0\x03" + noise.to_bytes(),
        b"\xfe\x03" + ismrmrd.Image.from_array(np.ones((4, 5), np.float32)).to_bytes(),
    ])  # fmt: skip
    reply = converse(server, head + extra + body)
    assert np.array_equal(reply.images[0].data, converse(server, plain).images[0].data)
    assert reply.texts[0].startswith("Coils were not prewhitened: expected coils with noise of their own")


def test_a_noise_scan_prewhitens_as_in_a_file(server, model, tmp_path):
    scan = PointScan(matrix=(32, 24, 1), noise_scans=2)
    rng = np.random.default_rng(0)
    noise = []
    for _ in range(scan.noise_scans):  # the very numbers that PointScan.write stores
        samples = rng.normal(size=(scan.coils, 64)) + 1j * rng.normal(size=(scan.coils, 64))
        noise.append(ismrmrd.Acquisition.from_array(samples.astype(np.complex64)))
        noise[-1].set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    (image,) = converse(server, encoded(scan, acquisitions=[*noise, *scan.acquisitions()])).images
    (plain,) = converse(server, encoded(scan)).images
    expected = from_file(model, scan, tmp_path)[0]
    np.testing.assert_allclose(image.data[0, 0].T, expected, rtol=1e-4, atol=1e-5 * expected.max())
    assert np.abs(plain.data[0, 0].T - expected).max() > 1e-3 * expected.max()
