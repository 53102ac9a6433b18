"""Products of patches are the convolutions that they stand for."""

import pytest
import torch
import torch.nn.functional as F

from invrim.layers.channel_product import prefers_channels_last
from invrim.layers.patches import convolve_patches, lay_out_patches, spread_patches

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("stride", [(1,), (3,), (1, 1), (2, 2), (1, 3), (1, 2, 2), (2, 1, 3)])
def test_values_and_gradients_equal_those_of_torch(stride):
    torch.manual_seed(0)
    counts = (3, 4, 2)[: len(stride)]
    x, down, bias = draw(2, 5, *(n * d for n, d in zip(counts, stride, strict=True))), draw(6, 5, *stride), draw(6)
    h, up = draw(2, 6, *counts), draw(6, 4, *stride)
    pairs = [
        (convolve_patches(x, down, bias, stride), CONVOLVE[len(stride)](x, down, bias, stride), (x, down, bias)),
        (convolve_patches(x, down, None, stride), CONVOLVE[len(stride)](x, down, stride=stride), (x, down)),
        (lay_out_patches(spread_patches(h, up, stride), stride), TRANSPOSE[len(stride)](h, up, stride=stride), (h, up)),
    ]
    for ours, theirs, inputs in pairs:
        torch.testing.assert_close(ours, theirs)
        cotangent = torch.randn_like(theirs)
        gradients = (torch.autograd.grad(out, inputs, cotangent) for out in (ours, theirs))
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3), (1, 2, 2)])
@pytest.mark.parametrize("batch", [1, 2])
def test_what_is_between_lies_as_the_convolution_wants_it_forward_and_backward(stride, batch, dtype):
    x = torch.randn(batch, 5, *(n * d for n, d in zip((6, 4, 5), stride, strict=False)), requires_grad=True)
    if not prefers_channels_last(x, 32):
        pytest.skip("this processor's convolutions do not want channels last")
    down, up = torch.randn(32, 5, *stride, requires_grad=True), torch.randn(32, 7, *stride, requires_grad=True)
    seen = []
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        h = convolve_patches(x, down, None, stride)
        h.register_hook(seen.append)  # retain_grad would copy it
        y = lay_out_patches(spread_patches(h, up, stride), stride)
    y.sum().backward()
    assert h.dtype == y.dtype == dtype
    assert len(seen) == 1
    channels_last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    assert all(t.is_contiguous(memory_format=channels_last) for t in (h, *seen))
    assert all(t.is_contiguous() for t in (y, x.grad))
