"""Shapes, orthogonality and reach of the layers."""

import pytest
import torch

from invrim.errors import OptionError
from invrim.layers import OrthogonalMixing, ResidualNet, ReversibleBlock
from invrim.layers.mixing import DenseRows, FactoredRows, mix
from invrim.layers.residual import stride_per_axis


@pytest.mark.parametrize("channels", [2, 5, 64])
def test_mixing_is_orthogonal_to_float32_precision(channels):
    u = OrthogonalMixing(channels).matrix()
    assert u.dtype == torch.float32
    # Built in float64: what remains is the rounding of the entries themselves.
    product = u.double() @ u.mT.double()
    assert (product - torch.eye(channels)).abs().max() < 4e-7
    read, write = OrthogonalMixing(channels).factors().split()
    assert read.shape == (channels // 2, channels)
    assert (read @ write.mT).abs().max() < 4e-7


def test_mixing_is_the_product_of_its_reflections():
    mixing = OrthogonalMixing(5, n_reflections=3).double()
    product = torch.eye(5, dtype=torch.double)
    for v in mixing.vectors:
        product = product @ (torch.eye(5) - 2 * torch.outer(v, v) / (v @ v))
    torch.testing.assert_close(mixing.matrix(), product, rtol=0, atol=1e-14)


def test_factored_rows_are_the_dense_ones():
    factors = OrthogonalMixing(71).double().factors()
    z = torch.randn(2, 71, 6, 14, dtype=torch.double)
    for factored, matrix in zip(factors.rows(), factors.split(), strict=True):
        dense = DenseRows(matrix.detach())
        assert isinstance(factored, FactoredRows)
        torch.testing.assert_close(factored.of(z), dense.of(z), rtol=0, atol=1e-13)
        x = torch.randn(2, len(matrix), 6, 7, dtype=torch.double)
        a, b = z.clone(), z.clone()
        for out, rows in ((a, factored), (b, dense)):
            rows.transpose_into_(out[..., ::2], x, sign=-1)  # a view with gaps, as tiles are
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)
        assert not torch.equal(a, z)


@pytest.mark.parametrize("channels", [5, 71])
def test_gradients_of_rows_are_those_of_autograd(channels):
    mixing = OrthogonalMixing(channels).double()
    factors, z = mixing.factors(), torch.randn(2, channels, 6, 7, dtype=torch.double)
    for rows, matrix in zip(factors.rows(), factors.split(), strict=True):
        x = torch.randn(2, len(matrix), 6, 7, dtype=torch.double)
        expected = torch.autograd.grad((x * mix(matrix, z)).sum(), mixing.vectors, retain_graph=True)
        total, transposed = z.clone(), z.clone()
        of_z, first = rows.of_with_gradients(z, x)
        second = rows.transpose_into_with_gradients_(total, z, x)
        assert torch.equal(of_z, rows.of(z))
        assert torch.equal(total, rows.transpose_into_(transposed, x))
        for gradients in (first, second):
            got = torch.autograd.grad(rows.sources, mixing.vectors, gradients, retain_graph=True)
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)


def test_block_equals_the_published_form():
    """Rotate, couple, rotate back."""
    torch.manual_seed(0)
    block = ReversibleBlock(5, 4, 2).double()
    x = torch.randn(2, 5, 6, 7, dtype=torch.double)
    u = block.mixing.matrix()
    rotated = torch.einsum("rc,bc...->br...", u, x)
    left, right = rotated[:, :2], rotated[:, 2:]
    y = torch.einsum("rc,br...->bc...", u, torch.cat([left, right + block.net(left)], dim=1))
    torch.testing.assert_close(block(x), y, rtol=1e-6, atol=1e-6)  # U is rounded to float32 on the way


@pytest.mark.parametrize(("ndim", "size"), [(1, (7,)), (2, (7, 10)), (3, (3, 7, 10))])
def test_every_voxel_is_reached_where_the_stride_does_not_divide(ndim, size):
    torch.manual_seed(0)
    net = ResidualNet(2, 6, 3, 4, ndim=ndim)
    y = net(torch.randn(2, 2, *size))
    assert y.shape == (2, 3, *size)
    assert (y.abs().amax(dim=(0, 1)) > 0).all()


def test_one_stride_spares_the_slice_axis():
    assert stride_per_axis(4, 3) == (1, 4, 4)
    assert stride_per_axis((2, 1), 2) == (2, 1)
    with pytest.raises(OptionError, match="a positive stride for each of 2 axes"):
        stride_per_axis((1, 2, 2), 2)


def test_bad_options():
    with pytest.raises(OptionError, match="at least 2 channels"):
        OrthogonalMixing(1)
    with pytest.raises(OptionError, match="1, 2 or 3 spatial axes, got 4"):
        ResidualNet(1, 1, 1, ndim=4)
