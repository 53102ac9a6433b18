"""The optimiser for convolutions."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from invrim.training.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (9, 9)])
def test_singular_values_become_alike_and_the_rest_stays(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inner = torch.diag(u.T @ orthogonalised(matrix) @ v.T)
    assert inner.min() > 0.6
    assert inner.max() < 1.3
    for size in (1e-3, 1e-30):
        torch.testing.assert_close(orthogonalised(size * matrix), orthogonalised(matrix))


def test_a_kernel_steps_by_its_relative_rate_and_a_bias_as_adam_moves_it():
    torch.manual_seed(0)
    conv, twin = nn.Conv2d(3, 5, 3), nn.Conv2d(3, 5, 3)
    twin.load_state_dict(conv.state_dict())
    start = conv.weight.detach().clone()
    optimiser, adam = Muon(conv.parameters(), lr=1e-3, kernel_rate=20), torch.optim.Adam(twin.parameters(), lr=1e-3)
    x = torch.randn(2, 3, 8, 7)
    for layer, method in ((conv, optimiser), (twin, adam)):
        layer(x).square().mean().backward()
        method.step()
    moved = conv.weight.detach() - start
    # Less than the rate of 0.02, because the part along the rows themselves is taken back.
    assert 0.25 < moved.norm() / (0.02 * start.norm()) < 1
    torch.testing.assert_close(conv.weight.flatten(1).norm(dim=1), start.flatten(1).norm(dim=1))
    assert (moved * conv.weight.grad).sum() < 0
    torch.testing.assert_close(conv.bias, twin.bias)
    assert not torch.allclose(conv.weight, twin.weight)


def test_the_norms_of_a_normalised_kernel_move_as_adam_moves_them():
    torch.manual_seed(0)
    conv = weight_norm(nn.Conv2d(3, 5, 3))
    twin = deepcopy(conv)
    x = torch.randn(2, 3, 8, 7)
    for layer, method in (
        (conv, Muon(conv.parameters(), lr=1e-2)),
        (twin, torch.optim.Adam(twin.parameters(), lr=1e-2)),
    ):
        layer(x).square().mean().backward()
        method.step()
    norms, same = (layer.parametrizations.weight.original0 for layer in (conv, twin))
    torch.testing.assert_close(norms, same)


def test_it_learns_faster_than_adam_on_an_ill_conditioned_filter():
    def error_after(method: type[torch.optim.Optimizer], updates: int) -> float:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(4, 6, 40, generator=generator).cumsum(dim=1)  # correlated channels
        torch.manual_seed(1)
        teacher, student = nn.Conv1d(6, 6, 3), nn.Conv1d(6, 6, 3)
        optimiser = method(student.parameters(), lr=3e-3)
        for _ in range(updates):
            loss = (student(x) - teacher(x).detach()).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return loss.item()

    assert error_after(Muon, 100) < 0.5 * error_after(torch.optim.Adam, 100)


def test_kernels_do_not_grow():
    torch.manual_seed(0)
    net = nn.Sequential(weight_norm(nn.Conv1d(3, 8, 3)), nn.ReLU(), weight_norm(nn.Conv1d(8, 2, 3)))
    optimiser = Muon(net.parameters(), lr=3e-3)
    kernels = [layer.parametrizations.weight.original1 for layer in (net[0], net[2])]
    before = [kernel.norm().item() for kernel in kernels]
    for _ in range(300):
        optimiser.zero_grad()
        net(torch.randn(4, 3, 20)).square().mean().backward()
        optimiser.step()
    assert [kernel.norm().item() for kernel in kernels] == pytest.approx(before, rel=1e-3)


def test_a_gradient_of_zeros_moves_nothing():
    conv = nn.Conv2d(2, 2, 1)
    start = [p.detach().clone() for p in conv.parameters()]
    optimiser = Muon(conv.parameters(), lr=0.1)
    for p in conv.parameters():
        p.grad = torch.zeros_like(p)
    optimiser.step()
    assert all(torch.equal(p, s) for p, s in zip(conv.parameters(), start, strict=True))


def test_its_state_can_be_saved_and_loaded():
    torch.manual_seed(0)
    conv, twin = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    optimisers = [Muon(layer.parameters(), lr=1e-2) for layer in (conv, twin)]
    x = torch.randn(2, 3, 8, 7)

    def update(layer, optimiser):
        optimiser.zero_grad()
        layer(x).square().mean().backward()
        optimiser.step()

    update(conv, optimisers[0])
    twin.load_state_dict(conv.state_dict())
    optimisers[1].load_state_dict(deepcopy(optimisers[0].state_dict()))
    update(conv, optimisers[0])
    update(twin, optimisers[1])
    assert all(torch.equal(p, q) for p, q in zip(conv.parameters(), twin.parameters(), strict=True))
