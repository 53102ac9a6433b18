"""What models that know Cartesian MRI, not only a fidelity, ask of it."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim.errors import DataError, OptionError
from invrim.operators import CartesianMRI, LeastSquares


def cartesian_slices(fidelity: LeastSquares) -> CartesianMRI:
    """Return the fidelity's operator; refuse what is not a stack of Cartesian slices."""
    operator = fidelity.operator
    if not isinstance(operator, CartesianMRI) or operator.ndim != 2:
        got = f"ndim={operator.ndim}" if isinstance(operator, CartesianMRI) else type(operator).__name__
        raise OptionError(f"expected CartesianMRI of slices (ndim=2), got {got}. Give slices, one coil or coil maps.")
    return operator


def calibration_block(mask: Tensor) -> Tensor:
    """Mark the measured lines around zero frequency that nothing interrupts, equally many on both sides.

    As fastMRI's variational network finds them at even sizes; at odd ones its block lies one line higher, and in a
    fully sampled mask it finds a single line.

    Parameters
    ----------
    mask
        Of lines: ``(b, 1, ky, kx)`` with at most one of ``ky, kx`` above 1, nonzero where measured.

    Returns
    -------
    1 in the block ``[n // 2 - m, n // 2 + m)``, else 0, shaped as ``mask``. Only zero frequency itself where a
    neighbour is missing.

    Raises
    ------
    OptionError
        If the mask undersamples both axes.
    DataError
        If zero frequency was not measured.
    """
    if min(mask.shape[2:]) > 1:
        raise OptionError(
            f"expected a mask of lines, (b, 1, 1, kx) or (b, 1, ky, 1), got {tuple(mask.shape)}. "
            f"Use a model that takes any mask, e.g. an i-RIM."
        )
    lines = (mask != 0).flatten(1).long()
    centre = lines.shape[1] // 2
    if not lines[:, centre].all():
        raise DataError(
            f"expected line {centre} (zero frequency) among the measured ones, got a mask without it. "
            f"Use a mask with a sampled centre."
        )
    before = lines[:, :centre].flip(1).cumprod(dim=1).sum(dim=1)
    after = lines[:, centre:].cumprod(dim=1).sum(dim=1)
    half = torch.minimum(before, after)[:, None]
    offset = torch.arange(lines.shape[1], device=mask.device) - centre
    block = ((offset >= -half) & (offset < half)) | (offset == 0)
    return block.to(mask.dtype).reshape(mask.shape)
