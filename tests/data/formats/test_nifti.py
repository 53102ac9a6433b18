"""NIfTI volumes arrive in one orientation, and their slices upright."""

import nibabel
import numpy as np
import pytest

from invrim.data.formats.nifti import Volume, read_volume, slices
from invrim.errors import DataError, FileError, OptionError

ARRAY = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)


def save(path, array, codes=("R", "A", "S"), voxel=(1.0, 2.0, 3.0)):
    """Store the RAS+ ``array`` with its axes in another order and direction."""
    image = nibabel.Nifti1Image(array, np.diag([*voxel, 1.0]))
    want = nibabel.orientations.axcodes2ornt(codes)
    have = nibabel.orientations.axcodes2ornt(("R", "A", "S"))
    nibabel.save(image.as_reoriented(nibabel.orientations.ornt_transform(have, want)), path)
    return path


@pytest.mark.parametrize("codes", [("R", "A", "S"), ("L", "P", "S"), ("P", "I", "R")])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_every_orientation_becomes_ras(tmp_path, codes, suffix):
    volume = read_volume(save(tmp_path / f"head{suffix}", ARRAY, codes))
    assert volume.name == "head"
    assert volume.voxel_mm == (1, 2, 3)
    np.testing.assert_array_equal(volume.array, ARRAY)


def test_the_first_frame_of_a_series(tmp_path):
    series = np.stack([ARRAY, ARRAY + 1000], axis=-1)
    nibabel.save(nibabel.Nifti1Image(series, np.eye(4)), tmp_path / "epi.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "epi.nii.gz").array, ARRAY)


@pytest.mark.parametrize(
    ("plane", "shape", "top", "left"),
    [
        ("axial", (6, 5, 4), "anterior", "right"),
        ("coronal", (5, 6, 4), "superior", "right"),
        ("sagittal", (4, 6, 5), "superior", "anterior"),
    ],
)
def test_slices_are_upright(plane, shape, top, left):
    x, y, z = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in ARRAY.shape), indexing="ij")
    towards = {"right": x, "anterior": y, "superior": z}

    def cut(array):
        return slices(Volume(name="v", array=array, voxel_mm=(1, 1, 1)), plane)

    assert cut(ARRAY).shape == shape
    assert (np.diff(cut(towards[top]), axis=1) == -1).all()
    assert (np.diff(cut(towards[left]), axis=2) == -1).all()


def test_an_unknown_plane():
    with pytest.raises(OptionError, match="a plane of axial, coronal, sagittal, got 'oblique'"):
        slices(Volume(name="v", array=ARRAY, voxel_mm=(1, 1, 1)), "oblique")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileError, match="got nothing at this path"):
        read_volume(tmp_path / "none.nii")
    (tmp_path / "a.png").write_text("x")
    with pytest.raises(FileError, match=r"a name ending in \.nii or \.nii\.gz"):
        read_volume(tmp_path / "a.png")
    (tmp_path / "a.nii").write_text("x")
    with pytest.raises(FileError, match="expected a complete NIfTI file"):
        read_volume(tmp_path / "a.nii")
    noise = np.random.default_rng(0).normal(size=(20, 20, 20))
    path = save(tmp_path / "cut.nii.gz", noise)
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(FileError, match=r"one that cannot be read .* Copy it again") as error:
        read_volume(path)
    assert "\n" not in str(error.value)


def test_arrays_that_are_no_volumes(tmp_path):
    nibabel.save(nibabel.Nifti1Image(ARRAY[0], np.eye(4)), tmp_path / "flat.nii")
    with pytest.raises(DataError, match=r"expected a 3D or 4D image, got shape \(5, 6\)"):
        read_volume(tmp_path / "flat.nii")
    nibabel.save(nibabel.Nifti1Image(ARRAY / np.where(ARRAY == 3, np.nan, 1), np.eye(4)), tmp_path / "nan.nii")
    with pytest.raises(DataError, match="expected finite intensities"):
        read_volume(tmp_path / "nan.nii")
