"""What training minimises."""

from __future__ import annotations

from typing import get_args

from torch import Tensor

from invrim.errors import OptionError
from invrim.metrics import ssim
from invrim.training.recipe import LossName


def reconstruction_loss(name: LossName, prediction: Tensor, target: Tensor, maximum: Tensor) -> Tensor:
    """Compare magnitude images, in units of their volume's maximum.

    Parameters
    ----------
    name
        ``"ssim"``: minus the mean structural similarity, uniform 7×7 window, reflected at the border, as published
        [P19b]_. ``"l1"``: mean absolute difference. ``"ssim+l1"``: their sum.
    prediction, target
        Magnitudes ``(b, y, x)``.
    maximum
        Maximum of each image's volume, ``(b,)``.

    Returns
    -------
    Scalar.

    References
    ----------
    .. [P19b] Putzky et al., *i-RIM applied to the fastMRI challenge*, arXiv 1910.08952.
    """
    if name not in get_args(LossName):
        raise OptionError(f"expected a loss of {get_args(LossName)}, got {name!r}. Choose one of them.")
    loss = prediction.new_zeros(())
    if "ssim" in name:
        loss = loss - ssim(prediction, target, maximum, padding="reflect").mean()
    if "l1" in name:
        loss = loss + ((prediction - target).abs() / maximum.reshape(-1, 1, 1)).mean()
    return loss
