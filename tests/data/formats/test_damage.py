"""500 damaged files of all formats: each ends in an image or in one line, never in a traceback, never in a hang."""

import shutil

import numpy as np
import pytest
import scipy.io
import torch

from data.ismrmrd_files import PointScan
from invrim.data.formats.bart import write_array
from invrim.data.trajectories import radial
from invrim.errors import InvrimError
from invrim.models.baselines import ZeroFilled
from invrim.reconstruction import Job, reconstruct_file
from scans import scan, scan_file
from shared_data import shared

EACH = 72
"""Times seven formats makes 504."""
KSPACE = scan(coils=2, slices=1).kspace[:, :, 12:36, 10:30].numpy()  # (slice 1, coil 2, ky 24, kx 20)
AXES = "slice coil ky kx"


def fastmri(folder):
    return [scan_file(folder, coils=2, acceleration=2)], None


def ismrmrd(folder):
    return [PointScan(coils=2, matrix=(16, 12, 1)).write(folder / "a.h5")], None


def bart(folder):
    write_array(folder / "a", KSPACE.transpose(2, 3, 0, 1))
    return [folder / "a.cfl", folder / "a.hdr"], None


def npy(folder):
    np.save(folder / "a.npy", KSPACE)
    return [folder / "a.npy"], AXES


def npz(folder):
    samples = np.ones((1, 2, 9, 24), np.complex64)
    np.savez_compressed(folder / "a.npz", kspace=samples, traj=radial(9, 24).numpy())
    return [folder / "a.npz"], "slice coil readouts samples"


def mat(folder):
    scipy.io.savemat(folder / "a.mat", {"kspace": KSPACE})
    return [folder / "a.mat"], AXES


def twix(folder):
    shutil.copyfile(shared("mr_raw/phantom_gre_2ch.dat"), folder / "a.dat")
    return [folder / "a.dat"], None


def damaged(raw: bytes, rng: np.random.Generator) -> bytes:
    """Cut short, overwritten here and there, or with a part missing or doubled."""
    data = bytearray(raw)
    kind = rng.integers(4)
    begin, end = sorted(rng.integers(0, len(raw) + 1, 2))
    if kind == 0:
        del data[begin:]
    elif kind == 1:
        for place in rng.integers(0, len(raw), rng.integers(1, 30)):
            data[place] = rng.integers(256)
    elif kind == 2:
        del data[begin : min(end, begin + 64)]
    else:
        data[begin:begin] = data[begin : min(end, begin + 64)]
    return bytes(data)


@pytest.mark.parametrize("write", [fastmri, ismrmrd, bart, npy, npz, mat, twix])
@pytest.mark.filterwarnings("ignore")  # damage makes numpy, scipy and h5py warn in many ways
def test_damage_ends_in_an_image_or_in_one_line(tmp_path, write):
    files, axes = write(tmp_path)
    whole = {path: path.read_bytes() for path in files}
    rng = np.random.default_rng(0)
    job = Job(out=tmp_path / "out", axes=axes)
    images = 0
    for number in range(EACH):
        hurt = files[number % len(files)]
        hurt.write_bytes(damaged(whole[hurt], rng))
        said = "an image"
        try:
            images += reconstruct_file(ZeroFilled(), files[0], job).is_file()
        except InvrimError as error:
            said = str(error)
        assert said
        assert "\n" not in said
        hurt.write_bytes(whole[hurt])
    assert reconstruct_file(ZeroFilled(), files[0], job).is_file(), "whole, it is read"
    assert images < EACH, "some damage must be noticed"
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")], "nothing half written"
    assert torch.is_grad_enabled()
