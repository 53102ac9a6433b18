"""Files in, files out."""

import math
import sys
from dataclasses import replace

import h5py
import numpy as np
import pydicom
import pytest
import torch

from data.fastmri_files import HEADER
from invrim import IRIM, __version__
from invrim.data.coil_maps import METHODS, estimate_maps
from invrim.data.formats.bart import read_array
from invrim.data.formats.bart import write_acquisition as write_pair
from invrim.data.formats.fastmri import (
    read_acquisition,
    read_header,
    read_reconstruction,
    read_target,
    write_acquisition,
)
from invrim.data.masks import columns_of_file
from invrim.errors import DataError, FileError, MissingExtraError, OptionError, WeightsError
from invrim.models import Solver
from invrim.models.baselines import ZeroFilled
from invrim.models.cg_sense import ConjugateGradientSENSE
from invrim.reconstruction import (
    Job,
    fidelity_of,
    reconstruct_file,
    reconstruct_slices,
    require_separate_results,
    sampling_mask,
)
from scans import scan, scan_file


@pytest.fixture
def model():
    torch.manual_seed(0)
    return IRIM(steps=2, hidden=[4, 6], strides=[1, 2], channels=8, head="eta").eval()


@pytest.mark.parametrize("coils", [1, 5])
def test_any_coils_and_batches_give_the_same(tmp_path, model, coils):
    raw = scan_file(tmp_path, coils=coils, acceleration=2)
    whole, _ = reconstruct_slices(model, raw, Job(out=tmp_path, batch=3))
    by_two, maximum = reconstruct_slices(model, raw, Job(out=tmp_path, batch=2))
    assert whole.shape == (3, 48, 40)
    torch.testing.assert_close(whole, by_two)
    assert maximum == float(by_two.max())


class Elsewhere(Solver):
    """A model on a device that every machine has, though it computes nothing."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(1, device="meta"))

    def forward(self, fidelity):
        assert {buffer.device.type for buffer in fidelity.buffers()} == {"meta"}
        return torch.ones(fidelity.data.shape[0], *fidelity.data.shape[-2:], dtype=torch.complex64)

    def magnitude(self, _, images):
        return images.abs()


def test_the_measurement_follows_the_model_to_its_device(tmp_path):
    raw = scan_file(tmp_path, coils=3, acceleration=2)
    volume, _ = reconstruct_slices(Elsewhere(), raw, Job(out=tmp_path))
    assert volume.device.type == "cpu"


def test_full_sampling_returns_the_truth(tmp_path):
    raw = scan_file(tmp_path, coils=4)
    images, _ = reconstruct_slices(ZeroFilled(), raw, Job(out=tmp_path))
    assert (images - read_target(raw)).norm() / read_target(raw).norm() < 0.1  # noise, and maps from the data


def test_coil_maps_are_estimated_as_the_job_says(tmp_path):
    raw = scan_file(tmp_path, coils=4, acceleration=2)
    acquisition = read_acquisition(raw)
    images = {}
    for method in METHODS:
        images[method], _ = reconstruct_slices(ConjugateGradientSENSE(), raw, Job(out=tmp_path, maps=method))
        fidelity = fidelity_of(acquisition, maps=method)
        expected = estimate_maps(acquisition.kspace, acquisition.mask, method)
        assert torch.equal(fidelity.operator.coils.maps, expected)
        torch.testing.assert_close(
            images[method], ConjugateGradientSENSE().magnitude(fidelity, ConjugateGradientSENSE()(fidelity))
        )
    assert not torch.allclose(images["calibration"], images["espirit"], atol=1e-3)
    with pytest.raises(OptionError, match="expected coil maps by calibration, adaptive, espirit, got 'none'"):
        Job(out=tmp_path, maps="none")


def test_results_on_disk(tmp_path, model):
    raw = scan_file(tmp_path / "in", acceleration=2)
    job = Job(out=tmp_path / "out", also=("nifti", "cfl", "png", "zero-filled"))
    out = reconstruct_file(model, raw, job)
    assert read_reconstruction(out).shape == (3, 48, 40)
    names = sorted(str(p.relative_to(job.out)) for p in job.out.rglob("*") if p.is_file())
    assert names == ["a.cfl", "a.h5", "a.hdr", "a.json", "a.nii.gz", "a.png", "zero-filled/a.h5"]
    pair = read_array(job.out / "a.cfl").reshape(48, 40, 3)  # readout, phase, slice
    assert np.array_equal(pair.transpose(2, 0, 1), read_reconstruction(out).numpy())


def test_a_dicom_folder_holds_the_images_of_the_hdf5_file(tmp_path, model):
    raw = scan_file(tmp_path / "in", acceleration=2)
    job = Job(out=tmp_path / "out", also=("dicom",))
    images = read_reconstruction(reconstruct_file(model, raw, job)).numpy()
    files = [pydicom.dcmread(path) for path in sorted((job.out / "a-dicom").iterdir())]
    found = np.stack([file.pixel_array * float(file.RescaleSlope) for file in files])
    np.testing.assert_allclose(found, images, rtol=0, atol=images.max() / 65535)
    assert files[0].SeriesDescription == "a by invrim"
    assert files[0].SoftwareVersions == f"invrim {__version__}"
    (job.out / "a-dicom" / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"got notes\.txt"):
        reconstruct_file(model, raw, job)


def test_dicom_without_pydicom_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match="expected the package pydicom"):
        Job(out=tmp_path, also=("dicom",))


def test_slices_of_zeros_come_out_as_zeros(tmp_path, model):
    acquisition = scan(acceleration=2)
    acquisition.kspace[1] = 0
    write_acquisition(tmp_path / "a.h5", acquisition)
    images, _ = reconstruct_slices(model, tmp_path / "a.h5", Job(out=tmp_path))
    assert torch.equal(images[1], torch.zeros(48, 40))
    assert images[0].abs().sum() > 0


def test_retrospective_undersampling_is_seeded_by_the_name(tmp_path):
    raw = scan_file(tmp_path)
    job = Job(out=tmp_path, acceleration=4)
    once, again = (reconstruct_slices(ZeroFilled(), raw, job)[0] for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.allclose(once, reconstruct_slices(ZeroFilled(), raw, Job(out=tmp_path))[0])
    with pytest.raises(OptionError, match="fully sampled file to undersample, got one with a mask"):
        reconstruct_slices(ZeroFilled(), scan_file(tmp_path, "b.h5", acceleration=2), job)
    with pytest.raises(
        OptionError, match=r"an acceleration that leaves zero frequency among 40 .*, got 4000\. Use less"
    ):
        reconstruct_slices(ZeroFilled(), raw, Job(out=tmp_path, acceleration=4000))


def test_wrong_coils_for_the_weights(tmp_path):
    coilwise = IRIM(steps=1, hidden=[4], strides=[1], channels=16, images=4, head="eta")
    with pytest.raises(WeightsError, match="expected 4 coils, for which these weights were trained, got 5"):
        reconstruct_slices(coilwise, scan_file(tmp_path, coils=5), Job(out=tmp_path))
    assert reconstruct_slices(coilwise, scan_file(tmp_path, coils=4), Job(out=tmp_path))[0].shape == (3, 48, 40)


def test_complex128_is_read_as_complex64(tmp_path, model):
    raw = scan_file(tmp_path, acceleration=2)
    expected, _ = reconstruct_slices(model, raw, Job(out=tmp_path))
    with h5py.File(raw, "r+") as file:
        kspace = file["kspace"][()]
        del file["kspace"]
        file["kspace"] = kspace.astype(np.complex128)
    assert torch.equal(reconstruct_slices(model, raw, Job(out=tmp_path))[0], expected)


def damage_truncate(path):
    path.write_bytes(path.read_bytes()[:-2000])


def damage_text(path):
    path.write_text("not HDF5")


def damage_remove(path):
    path.unlink()


def edit(change):
    def damage(path):
        with h5py.File(path, "r+") as file:
            change(file)

    return damage


def without_kspace(file):
    del file["kspace"]


def with_nan(file):
    file["kspace"][1, 3, 3] = np.nan


def with_short_mask(file):
    del file["mask"]
    file["mask"] = np.ones(7, dtype=bool)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (damage_remove, FileError, "expected a raw file, got nothing"),
        (damage_text, FileError, "expected an HDF5 file, got other content"),
        (damage_truncate, FileError, "expected a complete HDF5 file"),
        (edit(without_kspace), FileError, "kspace"),
        (edit(with_nan), DataError, "NaN"),
        (edit(with_short_mask), DataError, "mask"),
    ],
    ids=["missing", "text", "truncated", "no kspace", "nan", "short mask"],
)
def test_bad_files_are_one_line_and_leave_nothing(tmp_path, model, damage, error, message):
    raw = scan_file(tmp_path / "in", acceleration=2)
    damage(raw)
    with pytest.raises(error, match=message) as caught:
        reconstruct_file(model, raw, Job(out=tmp_path / "out"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_full_disk_leaves_nothing(tmp_path, model, monkeypatch):
    raw = scan_file(tmp_path / "in", acceleration=2)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.Group, "__setitem__", full)
    with pytest.raises(FileError, match="no space left on device"):
        reconstruct_file(model, raw, Job(out=tmp_path / "out"))
    assert not list((tmp_path / "out").iterdir())


def test_a_raw_file_is_never_overwritten(tmp_path, model):
    raw = scan_file(tmp_path, acceleration=2)
    before = raw.read_bytes()
    (tmp_path / "other").mkdir()
    for out in (tmp_path, tmp_path / "other" / ".."):
        with pytest.raises(OptionError, match=r"a\.h5, which would overwrite the input .*a\.h5\. Choose another --out"):
            reconstruct_file(model, raw, Job(out=out))
    below = scan_file(tmp_path / "zero-filled", acceleration=2)
    with pytest.raises(OptionError, match="would overwrite the input"):
        require_separate_results([below], Job(out=tmp_path, also=("zero-filled",)))
    assert raw.read_bytes() == before


@pytest.mark.parametrize("suffix", [".cfl", ".hdr"])
def test_neither_file_of_a_raw_pair_is_overwritten(tmp_path, suffix):
    write_pair(tmp_path / "a.cfl", scan())
    with pytest.raises(OptionError, match="would overwrite the input"):
        require_separate_results([tmp_path / f"a{suffix}"], Job(out=tmp_path, also=("cfl",)))
    require_separate_results([tmp_path / f"a{suffix}"], Job(out=tmp_path))


def test_results_of_two_inputs_may_not_share_a_name(tmp_path):
    first, second = tmp_path / "1" / "a.h5", tmp_path / "2" / "a.h5"
    with pytest.raises(OptionError, match=r"got .*out/a\.h5 for both .*1/a\.h5 and .*2/a\.h5\. Rename one"):
        require_separate_results([first, second], Job(out=tmp_path / "out"))
    require_separate_results([first, tmp_path / "b.h5"], Job(out=tmp_path / "out", also=("nifti",)))
    with pytest.raises(OptionError, match=r"a\.h5 for both .*a\.h5 and .*a\.cfl\. Rename one"):
        require_separate_results([first, tmp_path / "a.cfl"], Job(out=tmp_path / "out"))


def file_with_lines(folder, lines, coils: int = 1):
    mask = torch.zeros(40, dtype=torch.bool)
    mask[lines] = True
    raw = scan(coils=coils)
    write_acquisition(folder / "a.h5", replace(raw, kspace=raw.kspace * mask, mask=mask))
    return folder / "a.h5"


def test_one_coil_is_reconstructed_from_a_single_centre_line(tmp_path, model):
    images, _ = reconstruct_slices(model, file_with_lines(tmp_path, [3, 20, 30]), Job(out=tmp_path))
    assert images.isfinite().all()
    assert images.any()


@pytest.mark.parametrize(("lines", "coils"), [([3, 20, 30], 2), ([3, 30], 1)])
def test_missing_calibration_lines_name_the_file(tmp_path, model, lines, coils):
    with pytest.raises(DataError, match=r"^a\.h5: expected .*line"):
        reconstruct_slices(model, file_with_lines(tmp_path, lines, coils), Job(out=tmp_path))


@pytest.mark.parametrize("acceleration", [None, 2])
def test_lines_that_the_scanner_filled_with_zeros_are_not_measured(tmp_path, acceleration):
    with h5py.File(scan_file(tmp_path), "a") as file:
        file["ismrmrd_header"] = HEADER.format(encoded=40, maximum=29, center=15)
    mask = sampling_mask(read_header(tmp_path / "a.h5"), acceleration)
    assert not mask[:5].any()
    assert not mask[35:].any()
    assert int(mask.sum()) == (30 if acceleration is None else int(columns_of_file(40, 2, "a.h5")[5:35].sum()))


@pytest.mark.parametrize("acceleration", [0, 0.5, math.nan, math.inf])
def test_accelerations_that_are_none(tmp_path, acceleration):
    with pytest.raises(OptionError, match=f"expected an acceleration >= 1, got {acceleration}"):
        Job(out=tmp_path, acceleration=acceleration)
