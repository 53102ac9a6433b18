"""Floor 3: laws for your own layers, operators and fidelities, shipped as `torch.testing` is."""

from invrim.testing.laws import (
    assert_adjoint,
    assert_gradient,
    assert_inverse,
    assert_log_determinant,
    assert_same_gradients,
)

__all__ = ["assert_adjoint", "assert_gradient", "assert_inverse", "assert_log_determinant", "assert_same_gradients"]
