"""Files of arrays that name their own axes: everything comes back, and only from them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from invrim.data.acquisition import Acquisition
from invrim.data.formats.archives import write_acquisition
from invrim.data.formats.opening import open_scan
from invrim.data.geometry import Geometry
from invrim.data.trajectories import radial
from invrim.errors import DataError, OptionError, ShapeError
from scans import scan

GEOMETRY = Geometry(affine=np.array([[0.0, 2, 0, -3], [1.5, 0, 0, 4], [0, 0, -5, 6], [0, 0, 0, 1]]))


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def everything() -> Acquisition:
    raw = scan("a.npz", coils=3, acceleration=2, slices=4)
    return replace(
        raw,
        target=raw.target[..., 4:44, 3:37],
        attributes={"acquisition": "T2", "te": 3.5, "phase": True, "n": 7},
        image_size=(40, 34),
        geometry=GEOMETRY,
        volumes=2,
        noise=noise(3, 50),
        notices=("spacing of the header", "Größe geraten"),
    )


def back(folder, acquisition) -> Acquisition:
    write_acquisition(folder / "a.npz", acquisition)
    return open_scan(folder / "a.npz").read()


def test_everything_comes_back(tmp_path):
    before = everything()
    after = back(tmp_path, before)
    for name in ("kspace", "mask", "target", "noise"):
        assert torch.equal(getattr(after, name), getattr(before, name)), name
    for name in ("name", "attributes", "image_size", "volumes", "trajectory", "notices"):
        assert getattr(after, name) == getattr(before, name), name
    assert np.array_equal(after.geometry.affine, GEOMETRY.affine)
    assert after.geometry.is_oriented


def test_spacing_alone_stays_spacing(tmp_path):
    after = back(tmp_path, replace(everything(), geometry=Geometry.of_spacing((1, 2, 3)))).geometry
    assert (after.spacing, after.is_oriented) == ((1, 2, 3), False)


def test_a_target_says_the_size_of_images(tmp_path):
    write_acquisition(tmp_path / "a.npz", replace(everything(), image_size=None))
    assert open_scan(tmp_path / "a.npz").header.image_size == (40, 34)


@pytest.mark.parametrize("own", [False, True])
def test_a_trajectory_comes_back(tmp_path, own):
    points = radial(11, 32)[None]
    before = Acquisition(
        name="a.npz",
        kspace=noise(6, 2, 11, 32),
        trajectory=torch.cat([points * 0.9**n for n in range(6)]) if own else points,
        image_size=(18, 15),
        volumes=3,
    )
    after = back(tmp_path, before)
    assert torch.equal(after.kspace, before.kspace)
    assert torch.equal(after.trajectory, before.trajectory)
    assert (after.image_size, after.volumes, after.notices) == ((18, 15), 3, ())


def test_axes_of_length_one_are_left_out(tmp_path):
    write_acquisition(tmp_path / "a.npz", replace(scan(slices=1), target=None))
    with np.load(tmp_path / "a.npz") as file:
        assert (str(file["axes"]), file["kspace"].shape) == ("coil ky kx", (1, 48, 40))


def test_said_axes_go_before_written_ones(tmp_path):
    write_acquisition(tmp_path / "a.npz", replace(scan(slices=1), target=None))
    assert open_scan(tmp_path / "a.npz", "coil kx ky").read().kspace.shape == (1, 1, 40, 48)


def test_files_without_axes_may_mean_other_things_by_these_names(tmp_path):
    np.savez(tmp_path / "a.npz", kspace=scan(coils=3).kspace, noise=np.eye(9), affine=np.eye(3), target="T2")
    acquisition = open_scan(tmp_path / "a.npz", "slice coil ky kx").read()
    assert (acquisition.noise, acquisition.geometry, acquisition.target) == (None, None, None)


@pytest.mark.parametrize(
    ("part", "error", "message"),
    [
        ({"target": np.ones((2, 40, 34))}, ShapeError, r"expected finite `target` of shape \(4, any, any\), got"),
        ({"noise": np.ones((3, 5))}, ShapeError, "expected finite `noise`"),
        ({"affine": np.full((4, 4), np.nan)}, ShapeError, "expected finite `affine`"),
        ({"image_size": (40.5, 34)}, ShapeError, "expected an image_size of two whole numbers"),
        ({"image_size": "big"}, ShapeError, "expected an image_size of two whole numbers"),
        ({"image_size": (40, 41)}, ShapeError, r"expected an image_size \(y, x\) of at most \(48, 40\)"),
        ({"attributes": "{"}, DataError, "expected `attributes` as a JSON object"),
        ({"attributes": "[1]"}, DataError, "expected `attributes` as a JSON object"),
        ({"axes": "slice coil ky"}, OptionError, "expected 4 different axes"),
        ({"axes": 3}, OptionError, "expected 4 different axes"),
    ],
)
def test_parts_that_do_not_fit(tmp_path, part, error, message):
    kspace = everything().kspace.numpy()
    np.savez(tmp_path / "a.npz", **{"kspace": kspace, "axes": "slice coil ky kx", **part})
    with pytest.raises(error, match=message) as caught:
        open_scan(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)


def test_only_plain_attributes_are_taken(tmp_path):
    text = json.dumps({"te": 3, "list": [1], "none": None})
    np.savez(tmp_path / "a.npz", kspace=everything().kspace, axes="slice coil ky kx", attributes=text)
    assert open_scan(tmp_path / "a.npz").read().attributes == {"te": 3}
