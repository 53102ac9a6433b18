"""A real Siemens file."""

import numpy as np
import pytest
import torch

from invrim.data.formats.opening import open_scan
from invrim.errors import FileError
from invrim.operators import ifft_centred
from shared_data import shared


@pytest.fixture(scope="module")
def phantom():
    return shared("mr_raw/phantom_gre_2ch.dat")


def test_sizes_geometry_and_scanner(phantom):
    scan = open_scan(phantom)
    header = scan.header
    assert (header.slices, header.coils, header.matrix, header.scanner) == (1, 2, (160, 160), "Skyra")
    assert header.mask is None
    assert header.geometry.spacing == pytest.approx((1.25, 1.25, 4))
    assert header.geometry.is_oriented
    # The middle voxel lies where the protocol puts the slice: left, posterior and superior of the isocentre.
    centre = header.geometry.lps @ [80, 80, 0, 1]
    assert centre[:3] == pytest.approx([-2.59, 53.92, -54.0], abs=0.01)


def test_the_phantom_is_a_disc_with_air_around_it(phantom):
    image = torch.linalg.vector_norm(ifft_centred(open_scan(phantom).read().kspace), dim=1)[0]
    y, x = np.meshgrid(np.arange(160) - 80, np.arange(160) - 80, indexing="ij")
    inside, outside = np.hypot(y, x) < 50, np.hypot(y, x) > 95
    assert image[torch.from_numpy(inside)].median() > 8 * image[torch.from_numpy(outside)].median()


def test_another_file_is_refused(tmp_path):
    (tmp_path / "a.dat").write_text("nothing of the kind " * 100)
    with pytest.raises(FileError, match="expected a complete Siemens twix file"):
        open_scan(tmp_path / "a.dat")
