"""Products from and into channels that lie last: `mix`, in another layout, whatever this processor prefers."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from invrim.layers import ResidualNet, ReversibleBlock
from invrim.layers.channel_product import mix_from_channels_last, mix_into_channels_last, prefers_channels_last
from invrim.layers.mixing import mix


def draw(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def channels_last(x):
    return x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (2, 3, 4, 5), (2, 1, 3, 2), (1, 3, 1, 1)])
@pytest.mark.parametrize("rows", [1, 6])
def test_values_and_layouts(shape, rows):
    matrix, x, bias = draw(rows, shape[1]), draw(*shape), draw(rows)
    into, into_with_bias = mix_into_channels_last(matrix, x), mix_into_channels_last(matrix, x, bias)
    back = mix_from_channels_last(matrix, channels_last(x))
    torch.testing.assert_close([into, into_with_bias, back], [mix(matrix, x), mix(matrix, x, bias), mix(matrix, x)])
    assert into.is_contiguous(memory_format=torch.channels_last)
    assert back.is_contiguous()


@pytest.mark.parametrize("batch", [1, 2])
def test_gradients_of_first_and_second_order_one_by_one_and_batched(batch):
    matrix, x, bias = draw(4, 3), draw(batch, 3, 2, 3), draw(4)
    for function, inputs in (
        (mix_into_channels_last, (matrix, x)),
        (mix_into_channels_last, (matrix, x, bias)),
        (mix_from_channels_last, (matrix, channels_last(x))),
    ):
        assert gradcheck(function, inputs, check_batched_grad=True)
        assert gradgradcheck(function, inputs)


def test_a_frozen_matrix_keeps_no_activations():
    x = draw(2, 3, 4, 5)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        out = mix_into_channels_last(torch.randn(6, 3, dtype=torch.float64), x)
    assert kept == [(6, 3)]
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert gradient.shape == x.shape


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_casts_as_it_does_operations(dtype):
    matrix, x, bias = draw(6, 3, dtype=torch.float32), draw(2, 3, 4, 5, dtype=torch.float32), draw(6)
    with torch.autocast("cpu", dtype):
        got = mix_into_channels_last(matrix, x, bias.float())
        expected = mix(matrix, x, bias.float())
    assert got.dtype == expected.dtype == dtype
    torch.testing.assert_close(got, expected, rtol=1e-2, atol=1e-2)  # sums may be rounded elsewhere
    (gradient,) = torch.autograd.grad(got.float().square().sum(), x, create_graph=True)
    assert gradient.dtype == torch.float32
    with torch.autocast("cpu", dtype):  # not that of the forward pass, whose precision counts
        gradient.square().sum().backward()
    assert matrix.grad.dtype == torch.float32


def test_narrow_nets_and_signals_stay_as_they_are():
    assert not prefers_channels_last(torch.ones(1, 8, 16, 16), 8)
    assert not prefers_channels_last(torch.ones(1, 64, 16), 64)


def test_wide_net_compiles_into_one_graph():
    torch.compiler.reset()
    net, x = ResidualNet(3, 64, 3, 2), torch.randn(1, 3, 8, 6)
    torch.testing.assert_close(torch.compile(net, backend="eager", fullgraph=True)(x), net(x))


@pytest.mark.parametrize("hidden", [4, 64])
def test_an_empty_batch_stays_empty(hidden):
    assert ReversibleBlock(6, hidden)(torch.ones(0, 6, 4, 4)).shape == (0, 6, 4, 4)
