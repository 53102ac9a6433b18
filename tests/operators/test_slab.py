"""A slab is its slices: value, gradient and start of one problem in 3D are those of many in 2D."""

import pytest
import torch

from invrim.errors import ShapeError
from invrim.operators import CartesianMRI, LeastSquares, slab_fidelity
from invrim.testing import assert_adjoint


def noise(*shape, seed):
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rows", [1, 7], ids=["lines", "points"])
@pytest.mark.parametrize("coils", [None, 3])
def test_a_slab_is_its_slices(rows, coils):
    b, z, y, x = 2, 5, 7, 10
    mask = (torch.rand(b, 1, 1, rows, x, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    maps = None if coils is None else noise(b, coils, z, y, x, seed=1)
    kspace = noise(b, coils or 1, z, y, x, seed=2) * mask
    slab = slab_fidelity(kspace, mask, maps)
    images = noise(b, z, y, x, seed=3)
    value, gradient, start = slab.value(images), slab.gradient(images), slab.start()
    assert_adjoint(slab.operator, images, kspace)
    total = torch.zeros(b, dtype=torch.float64)
    for n in range(z):
        physics = CartesianMRI(mask[:, :, 0], None if maps is None else maps[:, :, n])
        alone = LeastSquares(physics, kspace[:, :, n])
        torch.testing.assert_close(gradient[:, n], alone.gradient(images[:, n]))
        torch.testing.assert_close(start[:, n], alone.start())
        total += alone.value(images[:, n])
    torch.testing.assert_close(value, total)


def test_slices_with_masks_of_their_own_are_refused():
    kspace = noise(1, 1, 3, 7, 10, seed=0)
    with pytest.raises(ShapeError, match=r"a mask \(b, 1, 1, ky, kx\) for all slices, got .*\(1, 1, 3, 1, 10\)"):
        slab_fidelity(kspace, torch.ones(1, 1, 3, 1, 10))
    with pytest.raises(ShapeError, match=r"expected k-space \(b, coil, z, ky, kx\)"):
        slab_fidelity(kspace[0], torch.ones(1, 1, 1, 1, 10))
