"""Visual information fidelity (VIF): how much of what can be seen in the target can be seen in the prediction."""

import torch
import torch.nn.functional as F
from torch import Tensor

from invrim.errors import ShapeError

_TINY = 1e-10
_SCALES = (17, 9, 5, 3)
"""Sides of the Gaussian windows, whose standard deviation is a fifth of them."""
SMALLEST = 41
"""Side below which the coarsest scale has no window left."""


def vif(prediction: Tensor, target: Tensor, noise: float) -> Tensor:
    """Pixel-domain VIF of each image to its target; 1 where they are equal, above 1 where contrast is enhanced.

    Parameters
    ----------
    prediction, target
        Real magnitudes ``(b, y, x)`` in the same units, both sides at least `SMALLEST`.
    noise
        Variance of the visual noise, in the square of these units: unlike SSIM the result depends on them.

    Returns
    -------
    ``(b,)``, in the precision of the input.

    References
    ----------
    .. [1] Sheikh & Bovik, *Image information and visual quality*, IEEE TIP 2006; the authors' ``vifp_mscale``, which
       the Python package sewar follows.
    """
    if prediction.shape != target.shape or target.ndim != 3 or min(target.shape[1:]) < SMALLEST:
        raise ShapeError(
            f"prediction is {tuple(prediction.shape)} and the target {tuple(target.shape)}: expected the same "
            f"(b, y, x) twice, y and x at least {SMALLEST}. Score larger images, or leave VIF out."
        )
    x, y = prediction[:, None], target[:, None]
    seen, there = torch.zeros_like(x[:, 0, 0, 0]), torch.zeros_like(x[:, 0, 0, 0])
    for number, side in enumerate(_SCALES):
        window = _gaussian(side, x)
        if number:
            x, y = (F.conv2d(image, window)[..., ::2, ::2] for image in (x, y))
        gain, variance, distortion = _channel(x, y, window)
        seen += (1 + gain.square() * variance / (distortion + noise)).log10().flatten(1).sum(dim=1)
        there += (1 + variance / noise).log10().flatten(1).sum(dim=1)
    return seen / there


def _channel(x: Tensor, y: Tensor, window: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What locally makes the prediction x of the target y: gain, the target's variance, variance of the rest."""
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (F.conv2d(image, window) for image in (x, y, x * x, y * y, x * y))
    covariance = mean_xy - mean_x * mean_y
    var_x, var_y = ((square - mean.square()).clamp(min=0) for square, mean in ((mean_xx, mean_x), (mean_yy, mean_y)))
    gain = covariance / (var_y + _TINY)
    rest = var_x - gain * covariance
    flat_y, flat_x = var_y < _TINY, var_x < _TINY
    gain, rest = gain.masked_fill(flat_y, 0), torch.where(flat_y, var_x, rest)
    var_y = var_y.masked_fill(flat_y, 0)
    gain, rest = gain.masked_fill(flat_x, 0), rest.masked_fill(flat_x, 0)
    rest = torch.where(gain < 0, var_x, rest)
    return gain.clamp(min=0), var_y, rest.clamp(min=_TINY)


def _gaussian(side: int, like: Tensor) -> Tensor:
    offset = torch.arange(side, dtype=like.dtype, device=like.device) - side // 2
    line = (-offset.square() / (2 * (side / 5) ** 2)).exp()
    window = torch.outer(line, line)
    return (window / window.sum())[None, None]
