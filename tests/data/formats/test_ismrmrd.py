"""ISMRMRD files: every readout in its place, every place in the patient."""

import shutil
import subprocess
from dataclasses import replace

import h5py
import nibabel
import numpy as np
import pytest
import torch

from data.ismrmrd_files import PointScan
from invrim.data.formats.opening import open_scan
from invrim.data.scan import LoadedScan
from invrim.errors import DataError, FileError
from invrim.models.baselines import ZeroFilled
from invrim.models.cg_sense import ConjugateGradientSENSE
from invrim.operators import ifft_centred
from invrim.reconstruction import Job, reconstruct_file, reconstruct_scan

_SIDEWAYS = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
ORIENTATIONS = {
    "axial": np.eye(3),
    "axial, turned": np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "sagittal": _SIDEWAYS,
    "oblique": np.linalg.qr(np.array([[0.8, 0.3, 0.2], [-0.2, 0.9, 0.3], [0.1, -0.4, 0.9]]))[0].T,
}
SIZES = {
    "even": ((48, 40, 1), 0), "odd": ((47, 41, 1), 0), "odd of even": ((48, 41, 1), 7), "even of odd": ((48, 40, 1), 7),
}  # fmt: skip
"""Of an image, and how many phase encodings there are beyond it."""


def images_of(path):
    acquisition = open_scan(path).read()
    return torch.linalg.vector_norm(ifft_centred(acquisition.kspace), dim=1)


def in_plane(directions, position):
    """Three points of the slice through ``position``, in patient coordinates."""
    return [np.asarray(position) + np.array(uv) @ directions[:2] for uv in ((12, -8), (-20, 14), (4, 22))]


def brightest(nifti):
    """RAS coordinates of the three brightest local maxima, brightest first."""
    image = nibabel.load(nifti)
    array = np.squeeze(image.get_fdata()).copy()
    array = array.reshape(*array.shape, *(1,) * (3 - array.ndim))
    found = []
    for _ in range(3):
        peak = np.unravel_index(array.argmax(), array.shape)
        found.append((image.affine @ [*peak, 1])[:3])
        low = [max(0, n - 4) for n in peak]
        array[low[0] : peak[0] + 5, low[1] : peak[1] + 5, low[2] : peak[2] + 5] = 0
    return np.stack(found)


@pytest.mark.parametrize("directions", ORIENTATIONS.values(), ids=ORIENTATIONS)
@pytest.mark.parametrize(("matrix", "phase_margin"), SIZES.values(), ids=SIZES)
def test_points_come_out_where_they_are(tmp_path, directions, matrix, phase_margin):
    position = (1.0, -2.0, 3.0)
    points = in_plane(directions, position)
    scan = PointScan(points=points, directions=directions, position=position, matrix=matrix, phase_margin=phase_margin)
    raw = scan.write(tmp_path / "a.h5")
    reconstruct_file(ZeroFilled(), raw, Job(out=tmp_path / "out", also=("nifti",)))
    ras = np.stack(points) * [-1, -1, 1]
    assert np.abs(brightest(tmp_path / "out" / "a.nii.gz") - ras).max() < 1.8, "a voxel is 2.2 mm"


@pytest.mark.parametrize("directions", [np.eye(3), ORIENTATIONS["oblique"]], ids=["axial", "oblique"])
def test_points_of_a_volume_come_out_where_they_are(tmp_path, directions):
    position = np.array([1.0, -2.0, 3.0])
    points = [position + np.array(uvw) @ directions for uvw in ((12, -8, 9), (-20, 14, -6), (4, 22, 0))]
    raw = PointScan(
        points=points, directions=directions, position=position, matrix=(32, 24, 16), fov=(96, 80, 48)
    ).write(tmp_path / "a.h5")
    reconstruct_file(ZeroFilled(), raw, Job(out=tmp_path / "out", also=("nifti",)))
    ras = np.stack(points) * [-1, -1, 1]
    assert np.abs(brightest(tmp_path / "out" / "a.nii.gz") - ras).max() < 2.5, "a voxel is 3.3 mm"


def test_slices_come_in_the_order_of_their_places(tmp_path):
    raw = PointScan(slices=4, points=((5, 5, 15),), brightness=(1,), slice_distance=6).write(tmp_path / "a.h5")
    scan = open_scan(raw)
    energy = scan.read().kspace.abs().square().flatten(1).sum(dim=1)
    assert energy.argmax() == 2, "3 mm + 2 x 6 mm is the slice of the point"
    assert scan.header.geometry.spacing == pytest.approx((2.2, 2, 6))


def test_oversampling_is_removed_and_averages_averaged(tmp_path):
    plain = open_scan(PointScan(oversampling=1).write(tmp_path / "a.h5")).read()
    averaged = open_scan(PointScan(oversampling=2, averages=2).write(tmp_path / "b.h5")).read()
    assert plain.kspace.shape == averaged.kspace.shape == (1, 3, 48, 40)
    images, twice = ifft_centred(plain.kspace), ifft_centred(averaged.kspace)
    # Twice the field of view at the same voxels: the unitary transform makes sqrt(2) of it. Averages are 0.5 and 1.5.
    assert (twice / 2**0.5 - images).norm() < 5e-2 * images.norm()


def test_reverse_lines_are_turned_round(tmp_path):
    # An odd readout has its middle in the middle, from either end.
    plain = images_of(PointScan(matrix=(47, 40, 1), oversampling=1).write(tmp_path / "a.h5"))
    turned = images_of(PointScan(matrix=(47, 40, 1), oversampling=1, reverse=True).write(tmp_path / "b.h5"))
    torch.testing.assert_close(turned, plain)


def test_worthless_samples_are_discarded(tmp_path):
    plain = images_of(PointScan().write(tmp_path / "a.h5"))
    torch.testing.assert_close(images_of(PointScan(discard=5).write(tmp_path / "b.h5")), plain)


def test_noise_is_kept_apart(tmp_path):
    scan = open_scan(PointScan(noise_scans=2).write(tmp_path / "a.h5"))
    assert scan.noise.shape == (3, 128)
    assert scan.read().mask is None


def test_partial_fourier_leaves_lines_out(tmp_path):
    # 30 of 40 lines, of which number 10 is zero frequency.
    raw = PointScan(centre=10, lines=lambda _: range(30), acceleration=1).write(tmp_path / "a.h5")
    acquisition = open_scan(raw).read()
    assert acquisition.mask.tolist() == [False] * 10 + [True] * 30
    assert not acquisition.kspace[..., :10].any()


def test_lines_that_got_lost_are_reported_and_not_sampled(tmp_path):
    raw = PointScan(lines=lambda _: [n for n in range(40) if n not in (7, 30)]).write(tmp_path / "a.h5")
    acquisition = open_scan(raw).read()
    assert (~acquisition.mask).nonzero().flatten().tolist() == [7, 30]
    assert acquisition.notices == (
        "2 of 40 lines are missing, though the scan was not accelerated: treated as not sampled",
    )


def test_every_repetition_has_its_own_lines(tmp_path):
    raw = PointScan(
        repetitions=2, acceleration=2, lines=lambda repetition: sorted({*range(repetition, 40, 2), *range(16, 25)})
    ).write(tmp_path / "a.h5")
    scan = open_scan(raw)
    first, second = scan.read(slice(0, 1)), scan.read(slice(1, 2))
    assert scan.header.volumes == 2
    assert first.mask.shape == (1, 1, 40)
    assert (first.mask != second.mask).sum() == 31
    assert not (first.kspace * ~first.mask[:, None]).any()
    reconstruct_file(ZeroFilled(), raw, Job(out=tmp_path / "out", also=("nifti",)))
    assert nibabel.load(tmp_path / "out" / "a.nii.gz").shape == (40, 48, 1, 2)


def test_unknown_orientation_leaves_voxel_sizes(tmp_path):
    raw = PointScan(directions=np.zeros((3, 3))).write(tmp_path / "a.h5")
    scan = open_scan(raw)
    assert not scan.header.geometry.is_oriented
    assert scan.header.geometry.spacing == pytest.approx((2.2, 2, 5))
    assert "position and orientation are not known: voxel sizes only" in scan.header.notices


def test_scanner_and_protocol_reach_the_attributes(tmp_path):
    header = open_scan(PointScan().write(tmp_path / "a.h5")).header
    assert (header.scanner, header.attributes["acquisition"]) == ("Skyra", "points")


@pytest.mark.parametrize(
    ("scan", "message"),
    [
        (PointScan(lines=lambda _: [0, 41]), "expected encoding steps within a matrix of 40 x 1"),
        (PointScan(lines=lambda _: [3], matrix=(48, 40, 400)), None),
    ],
)
def test_a_header_that_contradicts_its_data(tmp_path, scan, message):
    if message is None:
        scan = PointScan(lines=lambda _: [3])
        raw = scan.write(tmp_path / "a.h5")
        enlarge(raw)
        message = "expected a matrix of the size of the data"
    else:
        raw = scan.write(tmp_path / "a.h5")
    with pytest.raises(DataError, match=message):
        open_scan(raw)


def enlarge(path):
    with h5py.File(path, "a") as file:
        xml = file["dataset/xml"][0].decode().replace("<y>40</y>", "<y>60000</y>").replace("<z>1</z>", "<z>60000</z>")
        del file["dataset/xml"]
        file["dataset/xml"] = np.array([xml], dtype=h5py.string_dtype())


def test_only_noise_is_no_image(tmp_path):
    with pytest.raises(DataError, match="expected image data, got noise or navigators alone"):
        open_scan(PointScan(lines=lambda _: [], noise_scans=1).write(tmp_path / "a.h5"))


def test_links_elsewhere_are_not_followed(tmp_path):
    raw = PointScan().write(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["dataset"] = h5py.ExternalLink(str(raw), "dataset")
    with pytest.raises(FileError):
        open_scan(tmp_path / "b.h5")


@pytest.mark.parametrize(
    "options", [["-a", "1"], ["-a", "2", "-w", "24", "-C", "-r", "2"]], ids=["full", "accelerated"]
)
def test_files_of_the_ismrmrd_tools(tmp_path, options):
    program = "ismrmrd_generate_cartesian_shepp_logan"
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not on this machine")
    command = [program, "-m", "96", "-c", "4", "-n", "0.01", *options, "-o", str(tmp_path / "a.h5")]
    subprocess.run(command, check=True, capture_output=True)
    with h5py.File(tmp_path / "a.h5") as file:
        stored = file["dataset/phantom"][0]
        phantom = np.hypot(stored["real"], stored["imag"])
    scan = open_scan(tmp_path / "a.h5")
    assert (scan.header.coils, scan.header.matrix) == (4, (96, 96))
    assert (scan.noise is None) == ("-C" not in options)
    image = reconstruct_scan(ConjugateGradientSENSE(), scan, Job(out=tmp_path))[0][0].numpy()
    # Its first axis is the phase encoding, ours the readout.
    likeness = {turn: np.corrcoef(image.ravel(), phantom.T[::turn].ravel())[0, 1] for turn in (1, -1)}
    assert likeness[1] > 0.7
    assert likeness[1] > likeness[-1] + 0.02, "mirrored would be another picture"


def test_what_is_discarded_counts_from_the_beginning_of_reverse_lines_too(tmp_path):
    odd = {"matrix": (47, 40, 1), "oversampling": 1}
    plain = images_of(PointScan(**odd).write(tmp_path / "a.h5"))
    torch.testing.assert_close(images_of(PointScan(**odd, reverse=True, discard=5).write(tmp_path / "b.h5")), plain)


def test_volumes_with_lines_of_their_own_have_masks_of_their_own(tmp_path):
    raw = PointScan(
        matrix=(8, 12, 4), fov=(96, 88, 20), repetitions=2, lines=lambda n: [k for k in range(12) if k != 2 + n]
    ).write(tmp_path / "a.h5")
    scan = open_scan(raw)
    assert (scan.header.volumes, scan.header.slices, scan.header.phase_encodes) == (2, 16, 2)
    masks = scan.read().mask
    assert masks.shape == (16, 4, 12)
    assert not masks[:8, :, 2].any()
    assert masks[:8, :, 3].all()
    assert not masks[8:, :, 3].any()


def test_a_full_volume_has_two_phase_encodings(tmp_path):
    scan = open_scan(PointScan(matrix=(8, 12, 4), fov=(96, 88, 20)).write(tmp_path / "a.h5"))
    assert (scan.header.phase_encodes, scan.header.mask) == (2, None)


def test_slabs_beside_each_other_are_volumes_without_a_place(tmp_path):
    scan = open_scan(PointScan(matrix=(8, 12, 4), fov=(96, 88, 20), slices=2).write(tmp_path / "a.h5"))
    assert scan.header.volumes == 2
    assert not scan.header.geometry.is_oriented
    assert any("expected one slab, got 2" in notice for notice in scan.header.notices)


def test_slices_at_one_place_have_none(tmp_path):
    raw = PointScan(slices=2, slice_distance=0).write(tmp_path / "a.h5")
    reconstruct_file(ZeroFilled(), raw, Job(out=tmp_path / "out", also=("nifti",)))
    assert any("got several at one" in notice for notice in open_scan(raw).header.notices)


def test_an_image_that_was_not_measured_stays_black_and_harms_no_other(tmp_path):
    def lines(repetition):
        return range(repetition, 40, 2) if repetition < 2 else []

    few = PointScan(slices=1, repetitions=2, acceleration=2, lines=lambda n: [*range(16, 25), *lines(n)])
    alone = reconstruct_scan(ZeroFilled(), open_scan(few.write(tmp_path / "a.h5")), Job(out=tmp_path, batch=1))[0]
    together = reconstruct_scan(ZeroFilled(), open_scan(tmp_path / "a.h5"), Job(out=tmp_path, batch=4))[0]
    torch.testing.assert_close(together, alone)
    acquisition = open_scan(tmp_path / "a.h5").read()
    mask, kspace = acquisition.mask.clone(), acquisition.kspace.clone()
    mask[1], kspace[1] = False, 0
    broken = LoadedScan(replace(acquisition, mask=mask, kspace=kspace))
    images = reconstruct_scan(ConjugateGradientSENSE(), broken, Job(out=tmp_path))[0]
    assert not images[1].any()
    assert images[0].any()
