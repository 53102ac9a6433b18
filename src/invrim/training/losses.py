"""What training minimises."""

from __future__ import annotations

from typing import get_args

from torch import Tensor

from invrim.errors import OptionError
from invrim.metrics import slice_similarity, ssim
from invrim.training.recipe import LossName


def reconstruction_loss(name: LossName, prediction: Tensor, target: Tensor, maximum: Tensor) -> Tensor:
    """Compare magnitude images, in units of their volume's maximum.

    Parameters
    ----------
    name
        ``"ssim"``: minus the mean structural similarity, uniform 7×7 window, reflected at the border, as published
        [P19b]_; of slabs, slice by slice. ``"ssim3d"``: of slabs, uniform 7×7×7 window. ``"l1"``: mean absolute
        difference. With a plus: their sum.
    prediction, target
        Magnitudes ``(b, y, x)``, of slabs ``(b, z, y, x)``.
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
    terms = name.split("+")
    if "ssim" in terms:
        loss = loss - slice_similarity(prediction, target, maximum, padding="reflect").mean()
    if "ssim3d" in terms:
        loss = loss - ssim(prediction, target, maximum, padding="reflect").mean()
    if "l1" in terms:
        loss = loss + ((prediction - target).abs().flatten(1) / maximum.reshape(-1, 1)).mean()
    return loss
