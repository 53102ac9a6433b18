"""Metrics of every slice by itself, averaged over the slices, as challenges other than fastMRI's define them.

All take float64 ``prediction, target`` ``(slices, y, x)`` and return a scalar.
"""

import torch
from torch import Tensor

from invrim.errors import DataError
from invrim.metrics import ssim, vif

_VISUAL_NOISE = 0.4
"""Variance of VIF's noise in the Calgary-Campinas challenge, for images whose target has the maximum 1."""


def own_nmse(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared error of a slice over the squared slice of the target."""
    _peaks(target, "target")
    return ((prediction - target).square().sum(dim=(1, 2)) / target.square().sum(dim=(1, 2))).mean()


def own_psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """Peak: the maximum of the target's slice."""
    return _psnr(prediction, target, _peaks(target, "target"))


def own_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Data range: the maximum of the target's slice."""
    return ssim(prediction, target, _peaks(target, "target")).mean()


def spanned_psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """Peak: the span of all values that occur in a slice of target or prediction, Calgary-Campinas'."""
    return _psnr(prediction, target, _spans(prediction, target))


def spanned_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Data range: the span of all values that occur in a slice of target or prediction, Calgary-Campinas'."""
    return ssim(prediction, target, _spans(prediction, target)).mean()


def spanned_vif(prediction: Tensor, target: Tensor) -> Tensor:
    """VIF with noise of variance 0.4, both divided by the maximum of the target's slice, Calgary-Campinas'."""
    peaks = _peaks(target, "target")[:, None, None]
    return vif(prediction / peaks, target / peaks, _VISUAL_NOISE).mean()


def rescaled_nmse(prediction: Tensor, target: Tensor) -> Tensor:
    """Target and prediction are each divided by the maximum of their own slice first, CMRxRecon's."""
    return own_nmse(*_rescaled(prediction, target))


def rescaled_psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """Target and prediction are each divided by the maximum of their own slice first, CMRxRecon's; peak 1."""
    return own_psnr(*_rescaled(prediction, target))


def rescaled_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Target and prediction are each divided by the maximum of their own slice first, CMRxRecon's; data range 1."""
    return own_ssim(*_rescaled(prediction, target))


def _rescaled(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    peaks = _peaks(prediction, "prediction"), _peaks(target, "target")
    return prediction / peaks[0][:, None, None], target / peaks[1][:, None, None]


def _psnr(prediction: Tensor, target: Tensor, peaks: Tensor) -> Tensor:
    return 10 * (peaks.square() / (prediction - target).square().mean(dim=(1, 2))).log10().mean()


def _spans(prediction: Tensor, target: Tensor) -> Tensor:
    _peaks(target, "target")
    both = torch.stack([prediction, target])
    return both.amax(dim=(0, 2, 3)) - both.amin(dim=(0, 2, 3))


def _peaks(volume: Tensor, what: str) -> Tensor:
    """Maximum of every slice; one without anything in it has no unit to measure an error in."""
    peaks = volume.amax(dim=(1, 2))
    if not (peaks > 0).all():
        raise DataError(
            f"{what} has {int((peaks <= 0).sum())} empty slices: expected a maximum above zero in each, which this "
            f"protocol divides by. Leave them out, or choose protocol fastmri."
        )
    return peaks
