"""Early-stopped least squares: where it goes, and what it leaves alone."""

import pytest
import torch

from invrim import CartesianMRI, LeastSquares
from invrim.operators import conjugate_gradient


def measurement(coils: int, *, dtype=torch.cdouble, every: int = 2) -> LeastSquares:
    """Regularly undersampled, which several coils determine."""
    torch.manual_seed(5)
    mask = (torch.arange(12) % every == 0).to(torch.empty(0, dtype=dtype).real.dtype).expand(2, 1, 1, 12)
    maps = torch.randn(2, coils, 10, 12, dtype=dtype) if coils > 1 else None
    operator = CartesianMRI(mask, maps)
    return LeastSquares(operator, operator(torch.randn(2, 10, 12, dtype=dtype)))


def test_enough_iterations_solve_the_normal_equations():
    fidelity = measurement(coils=6)
    solution = conjugate_gradient(fidelity, fidelity.start(), 100)
    assert fidelity.gradient(solution).norm() < 1e-4 * fidelity.start().norm()


def test_every_iteration_lowers_the_fidelity():
    fidelity = measurement(coils=3)
    values = torch.stack([fidelity.value(conjugate_gradient(fidelity, fidelity.start(), n)) for n in range(6)])
    assert (values.diff(dim=0) < 0).all()


@pytest.mark.parametrize("dtype", [torch.cdouble, torch.cfloat])
def test_a_single_coil_ends_at_the_back_projection(dtype):
    fidelity = measurement(coils=1, dtype=dtype)
    torch.testing.assert_close(conjugate_gradient(fidelity, fidelity.start(), 8), fidelity.start())


def test_entries_of_a_batch_do_not_see_each_other():
    both = measurement(coils=3)
    data = both.data.clone()
    data[1] = 0
    maps, mask = both.operator.coils.maps, both.operator.sampling.mask
    half_empty = LeastSquares(both.operator, data)
    alone = LeastSquares(CartesianMRI(mask[:1], maps[:1]), data[:1])
    found = conjugate_gradient(half_empty, half_empty.start(), 5)
    torch.testing.assert_close(found[:1], conjugate_gradient(alone, alone.start(), 5))
    assert torch.equal(found[1], torch.zeros_like(found[1]))


def test_the_result_is_differentiable_in_the_data():
    fidelity = measurement(coils=3)
    data = fidelity.data.clone().requires_grad_()

    def solve(data):
        least_squares = LeastSquares(fidelity.operator, data)
        return conjugate_gradient(least_squares, least_squares.start(), 3)

    assert torch.autograd.gradcheck(solve, data, fast_mode=True)


def test_no_gradient_is_nan_where_an_entry_is_empty():
    fidelity = measurement(coils=3)
    data = torch.zeros_like(fidelity.data, requires_grad=True)
    least_squares = LeastSquares(fidelity.operator, torch.cat([data[:1], fidelity.data[1:]]))
    conjugate_gradient(least_squares, least_squares.start(), 3).abs().square().sum().backward()
    assert torch.isfinite(torch.view_as_real(data.grad)).all()
