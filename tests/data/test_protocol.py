"""What a model is told of a scan: known, half known and unknown."""

import h5py
import pytest
import torch

from data.fastmri_files import write
from invrim.data.batches import collate
from invrim.data.dataset import SliceDataset
from invrim.data.formats.fastmri import read_header
from invrim.data.protocol import protocol_code

KNOWN = [
    ("CORPDFS_FBK", "Aera"),
    ("CORPD_FBK", "Aera"),
    ("CORPDFS_FBK", "Biograph_mMR"),
    ("CORPD_FBK", "Biograph_mMR"),
    ("CORPDFS_FBK", "Prisma_fit"),
    ("CORPD_FBK", "Prisma_fit"),
    ("CORPDFS_FBK", "Skyra"),
    ("CORPD_FBK", "Skyra"),
]
"""By the place of their 1 in the released code."""
SYSTEM = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><acquisitionSystemInformation>
<systemModel> {} </systemModel></acquisitionSystemInformation></ismrmrdHeader>"""


@pytest.mark.parametrize(("place", "scan"), list(enumerate(KNOWN)))
def test_a_known_scan_is_one_hot(place, scan):
    assert protocol_code(*scan).tolist() == [float(n == place) for n in range(8)]


def test_a_repetition_is_the_same_contrast():
    assert torch.equal(protocol_code("CORPDFS_FBKREPEAT", "Skyra"), protocol_code("CORPDFS_FBK", "Skyra"))


@pytest.mark.parametrize(
    ("acquisition", "scanner", "code"),
    [
        ("CORPDFS_FBK", "Avanto", [0.25, 0] * 4),
        ("CORPD_FBK", None, [0, 0.25] * 4),
        ("AXT2", "Prisma_fit", [0, 0, 0, 0, 0.5, 0.5, 0, 0]),
        (None, "Vida", [0.125] * 8),
        (3.5, None, [0.125] * 8),
    ],
)
def test_what_is_not_known_is_shared_out(acquisition, scanner, code):
    assert protocol_code(acquisition, scanner).tolist() == code


def test_it_is_read_from_the_file(tmp_path):
    for name, acquisition, scanner in (("a.h5", "CORPDFS_FBK", "Skyra"), ("b.h5", "CORPD_FBK", "Vida")):
        with h5py.File(write(tmp_path, name), "a") as file:
            file.attrs["acquisition"] = acquisition
            file["ismrmrd_header"] = SYSTEM.format(scanner)
    write(tmp_path, "c.h5")
    assert [read_header(tmp_path / name).scanner for name in ("a.h5", "b.h5", "c.h5")] == ["Skyra", "Vida", None]
    data = SliceDataset(tmp_path, training=False, accelerations=[3], center_fractions=[0.3])
    batch = collate([data[number] for number in (0, 3, 8)])
    assert batch["metadata"].tolist() == [[0, 0, 0, 0, 0, 0, 1, 0], [0, 0.25] * 4, [0.125] * 8]


def test_a_header_without_a_model(tmp_path):
    with h5py.File(write(tmp_path), "a") as file:
        file["ismrmrd_header"] = SYSTEM.format("")
    header = read_header(tmp_path / "scan.h5")
    assert header.scanner is None
    assert header.padding is None
