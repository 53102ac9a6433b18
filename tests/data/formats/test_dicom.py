"""DICOM series read back by pydicom: intensities, and where every voxel lies in the patient."""

import sys

import numpy as np
import pydicom
import pytest
import torch

from invrim.data.formats.dicom import Patient, write_series
from invrim.data.geometry import Geometry
from invrim.errors import DataError, FileError, MissingExtraError, ShapeError

SHAPE = (3, 7, 5)
SAME_MM = 1e-6


def stack(shape=SHAPE, seed=0):
    return 3e-4 * torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def rotation(axis, degrees):
    """Rodrigues' formula."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


AXIAL = np.eye(3)
SAGITTAL = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
OBLIQUE = AXIAL @ rotation([1, -2, 0.5], 33).T
LEFT_HANDED = OBLIQUE * [[1], [1], [-1]]
STAGGERED = (0.4, 0.0, 3.0)
"""Slices that are not above each other, in units of x, y and z of the slices' own."""


def geometry(directions, between=(0.0, 0.0, 3.3)):
    steps = np.arange(SHAPE[0])[:, None] * (np.asarray(between) @ directions)
    return Geometry.of_slices(np.array([11.0, -23.5, 47.25]) + steps, directions, (0.8, 1.3, 3.3), (5, 7))


GEOMETRIES = {
    "axial": geometry(AXIAL),
    "sagittal": geometry(SAGITTAL),
    "oblique": geometry(OBLIQUE),
    "left-handed": geometry(LEFT_HANDED),
    "staggered": geometry(OBLIQUE, STAGGERED),
}


def read(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def place(image, x, y):
    """Equation C.7.6.2.1-1 of PS3.3: column x, row y, in millimetres towards left, posterior, superior."""
    row, column = np.array(image.ImageOrientationPatient[:3]), np.array(image.ImageOrientationPatient[3:])
    return np.array(image.ImagePositionPatient) + row * image.PixelSpacing[1] * x + column * image.PixelSpacing[0] * y


@pytest.mark.parametrize("known", GEOMETRIES.values(), ids=GEOMETRIES)
def test_voxels_lie_where_the_geometry_has_them(tmp_path, known):
    write_series(tmp_path / "s", stack(), known)
    images = read(tmp_path / "s")
    for z, image in enumerate(images):
        for x, y in ((0, 0), (4, 0), (0, 6), (4, 6)):
            np.testing.assert_allclose(place(image, x, y), (known.lps @ [x, y, z, 1])[:3], atol=SAME_MM)
    normal = np.cross(images[0].ImageOrientationPatient[:3], images[0].ImageOrientationPatient[3:])
    step = np.array(images[1].ImagePositionPatient) - np.array(images[0].ImagePositionPatient)
    assert images[0].SpacingBetweenSlices == pytest.approx(abs(normal @ step))
    assert images[0].SliceThickness == images[0].SpacingBetweenSlices
    assert {image.SOPClassUID.name for image in images} == {"MR Image Storage"}


def test_the_comparison_rejects_pixel_spacing_in_the_other_order(tmp_path):
    write_series(tmp_path / "s", stack(), GEOMETRIES["axial"])
    image = read(tmp_path / "s")[0]
    image.PixelSpacing = [image.PixelSpacing[1], image.PixelSpacing[0]]
    assert np.abs(place(image, 4, 6) - (GEOMETRIES["axial"].lps @ [4, 6, 0, 1])[:3]).max() > 1


@pytest.mark.parametrize("unit", [1e-7, 1.0, 4e5])
def test_intensities_come_back_to_half_a_step(tmp_path, unit):
    images = unit * stack()
    write_series(tmp_path / "s", images)
    found = np.stack([image.pixel_array * float(image.RescaleSlope) for image in read(tmp_path / "s")])
    assert read(tmp_path / "s")[0].pixel_array.dtype == np.uint16
    np.testing.assert_allclose(found, images.numpy(), rtol=0, atol=0.5001 * float(images.max()) / 65535)
    assert found.max() == pytest.approx(float(images.max()))


def test_an_empty_stack_stays_empty(tmp_path):
    write_series(tmp_path / "s", torch.zeros(SHAPE))
    assert not any(image.pixel_array.any() or float(image.RescaleSlope) != 1 for image in read(tmp_path / "s"))


def test_without_orientation_nothing_is_made_up(tmp_path):
    for name, known in {"spacing": Geometry.of_spacing((0.8, 1.3, 3.3)), "nothing": None}.items():
        write_series(tmp_path / name, stack(), known)
        image = read(tmp_path / name)[0]
        assert image.SOPClassUID.name == "Secondary Capture Image Storage"
        assert "ImagePositionPatient" not in image
        assert "ImageOrientationPatient" not in image
        assert "FrameOfReferenceUID" not in image
        assert ("PixelSpacing" in image) == (known is not None)
    image = read(tmp_path / "spacing")[0]
    assert (list(image.PixelSpacing), image.SliceThickness) == ([1.3, 0.8], 3.3)


def test_files_of_a_call_are_one_series(tmp_path):
    write_series(tmp_path / "s", stack((6, 7, 5)), GEOMETRIES["axial"], volumes=2)
    images = read(tmp_path / "s")
    assert [path.name for path in sorted((tmp_path / "s").iterdir())] == [f"{n:04}.dcm" for n in range(1, 7)]
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "RescaleSlope"):
        assert len({image[name].value for image in images}) == 1
    assert len({image.SOPInstanceUID for image in images}) == 6
    assert [image.InstanceNumber for image in images] == [1, 2, 3, 4, 5, 6]
    assert [image.AcquisitionNumber for image in images] == [1, 1, 1, 2, 2, 2]
    assert images[1].ImagePositionPatient == images[4].ImagePositionPatient != images[2].ImagePositionPatient
    before = images[0].SeriesInstanceUID
    write_series(tmp_path / "s", stack(), GEOMETRIES["axial"])
    assert len(read(tmp_path / "s")) == 3
    assert read(tmp_path / "s")[0].SeriesInstanceUID != before
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_patient_is_named_only_when_given(tmp_path):
    write_series(tmp_path / "nobody", stack())
    write_series(tmp_path / "somebody", stack(), patient=Patient(name="Müller^Eva", identifier="7", sex="F"))
    nobody, somebody = (read(tmp_path / name)[0] for name in ("nobody", "somebody"))
    empty = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "ReferringPhysicianName")
    assert all(not nobody[name].value for name in empty)
    assert (str(somebody.PatientName), somebody.PatientID, somebody.PatientSex) == ("Müller^Eva", "7", "F")


@pytest.mark.parametrize("field", [{"birth_date": "1.4.1970"}, {"sex": "female"}, {"name": "x" * 65}])
def test_a_patient_that_dicom_has_no_words_for(field):
    with pytest.raises(DataError, match=r"expected a patient's name .* birth date YYYYMMDD and sex M, F or O"):
        Patient(**field)


@pytest.mark.parametrize("value", [float("nan"), -1.0])
def test_what_is_no_magnitude_is_refused(tmp_path, value):
    images = stack()
    images[1, 2, 3] = value
    with pytest.raises(DataError, match="expected finite magnitudes"):
        write_series(tmp_path / "s", images)
    with pytest.raises(ShapeError, match=r"\(7, 5\)"):
        write_series(tmp_path / "s", stack()[0])
    assert not list(tmp_path.iterdir())


def test_slanted_rows_are_refused(tmp_path):
    affine = np.eye(4)
    affine[0, 1] = 0.3
    with pytest.raises(DataError, match="expected rows and columns at right angles"):
        write_series(tmp_path / "s", stack(), Geometry(affine=affine))


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"a folder of \.dcm files alone, got notes\.txt"):
        write_series(tmp_path / "s", stack())
    assert (tmp_path / "s" / "notes.txt").read_text() == "mine"


def test_a_full_disk_leaves_the_older_series(tmp_path, monkeypatch):
    write_series(tmp_path / "s", stack())
    before = [image.SOPInstanceUID for image in read(tmp_path / "s")]

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pydicom.Dataset, "save_as", full)
    with pytest.raises(FileError, match="no space left on device"):
        write_series(tmp_path / "s", stack(seed=1))
    assert [image.SOPInstanceUID for image in read(tmp_path / "s")] == before
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_without_pydicom_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'invrim\[dicom\]'"):
        write_series(tmp_path / "s", stack())
