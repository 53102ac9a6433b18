"""Physics beyond its laws: what it accepts, and what it says when it does not."""

import pytest
import torch

from invrim import CartesianMRI, LeastSquares
from invrim.errors import ShapeError
from invrim.operators import crop_centre


def test_crop_is_central_and_leaves_small_axes_whole():
    image = torch.arange(30.0).reshape(1, 5, 6)
    assert torch.equal(crop_centre(image, (3, 2)), image[:, 1:4, 2:4])
    assert torch.equal(crop_centre(image, (3, 9)), image[:, 1:4])


def test_one_coil_of_unit_sensitivity_is_a_single_coil():
    mask = (torch.rand(2, 1, 1, 7) < 0.5).float()
    x = torch.randn(2, 6, 7, dtype=torch.cfloat)
    ones = torch.ones(1, 1, 6, 7, dtype=torch.cfloat)
    assert torch.equal(CartesianMRI(mask)(x), CartesianMRI(mask, ones)(x))


def test_bool_masks_are_masks():
    mask = torch.rand(1, 1, 1, 7) < 0.5
    x = torch.randn(2, 6, 7, dtype=torch.cfloat)
    assert torch.equal(CartesianMRI(mask)(x), CartesianMRI(mask.float())(x))


@pytest.mark.parametrize(
    ("mask", "maps", "message"),
    [
        ((7,), None, r"expected a mask broadcastable to \(b, 1, 2 k-space axes\), got \(7,\)"),
        ((1, 1, 1, 7), (3, 6, 7), r"expected complex coil maps \(b, coil, 2 axes\)"),
        ((1, 1, 1, 7), (1, 3, 6, 8), r"the mask is \(1, 7\) but the coil maps are \(6, 8\)"),
        ((2, 1, 1, 7), (4, 3, 6, 7), r"expected mask and coil maps of one batch, got 2 and 4\. Select the same slices"),
    ],
)
def test_shapes_that_do_not_fit(mask, maps, message):
    with pytest.raises(ShapeError, match=message):
        CartesianMRI(torch.ones(mask), None if maps is None else torch.ones(maps, dtype=torch.cfloat))


@pytest.mark.parametrize(
    ("coils", "data", "message"),
    [
        (None, (1, 6, 7), r"expected k-space \(b, 1, k, 7\) .*, got \(1, 6, 7\)\. Add missing axes"),
        (None, (2, 3, 6, 7), r"expected k-space \(b, 1, k, 7\) .*, got \(2, 3, 6, 7\)"),
        (None, (2, 1, 6, 8), r"got \(2, 1, 6, 8\)"),
        (None, (2, 1, 6, 1), r"got \(2, 1, 6, 1\)"),
        (1, (2, 4, 6, 7), r"expected k-space \(b, 1, 6, 7\) .*, got \(2, 4, 6, 7\)"),
        (4, (2, 1, 6, 7), r"expected k-space \(b, 4, 6, 7\) .*, got \(2, 1, 6, 7\)"),
        (4, (2, 4, 5, 7), r"got \(2, 4, 5, 7\)"),
    ],
)
def test_kspace_that_does_not_fit(coils, data, message):
    maps = None if coils is None else torch.ones(1, coils, 6, 7, dtype=torch.cfloat)
    operator = CartesianMRI(torch.ones(1, 1, 1, 7), maps)
    y = torch.zeros(data, dtype=torch.cfloat)
    for use in (operator.adjoint, lambda y: LeastSquares(operator, y)):
        with pytest.raises(ShapeError, match=message) as caught:
            use(y)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("batches", [(2, 1), (1, 2), (2, 2), (2, None)], ids=str)
@pytest.mark.parametrize("count", [1, 3])
def test_another_batch_than_that_of_mask_and_maps(batches, count):
    """One slice is refused too: broadcasting would make two of it."""
    masks, maps = batches
    operator = CartesianMRI(
        torch.ones(masks, 1, 1, 7), None if maps is None else torch.ones(maps, 1, 6, 7, dtype=torch.cfloat)
    )
    y = torch.zeros(count, 1, 6, 7, dtype=torch.cfloat)
    for use in (operator.adjoint, lambda y: LeastSquares(operator, y)):
        with pytest.raises(ShapeError, match=rf"expected k-space \(2, 1, .*, got \({count}, 1, 6, 7\).*these slices"):
            use(y)
    for use in (operator, operator.normal):
        with pytest.raises(ShapeError, match=rf"expected 2 images, as many .*, got {count}\. Select the same slices"):
            use(y[:, 0])


def test_one_mask_and_one_set_of_maps_serve_any_batch():
    operator = CartesianMRI(torch.ones(1, 1, 1, 7), torch.ones(1, 3, 6, 7, dtype=torch.cfloat))
    x = torch.randn(4, 6, 7, dtype=torch.cfloat)
    assert operator(x).shape == (4, 3, 6, 7)
    assert operator.adjoint(operator(x)).shape == operator.normal(x).shape == x.shape


def test_an_image_without_batch_and_data_of_another_size():
    operator = CartesianMRI(torch.ones(1, 1, 1, 7))
    with pytest.raises(ShapeError, match="Add the batch axis"):
        operator(torch.zeros(6, 7, dtype=torch.cfloat))
    fidelity = LeastSquares(operator, torch.zeros(2, 1, 6, 7, dtype=torch.cfloat))
    with pytest.raises(ShapeError, match="Check the mask, the coil maps and the batch"):
        fidelity.value(torch.zeros(3, 6, 7, dtype=torch.cfloat))
    with pytest.raises(ShapeError, match=r"expected images \(2, 6, 7\) as the data make them, got \(3, 6, 7\)"):
        fidelity.gradient(torch.zeros(3, 6, 7, dtype=torch.cfloat))
