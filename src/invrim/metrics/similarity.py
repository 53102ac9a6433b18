"""Structural similarity (SSIM), differentiable: a metric in float64, a training loss in float32."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from invrim.errors import OptionError, ShapeError

Padding = Literal["valid", "reflect"]

C1 = 0.01**2
C2 = 0.03**2
"""Stabilisers of Wang et al. 2004 for images of data range 1."""
_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}


def ssim(
    prediction: Tensor, target: Tensor, data_range: Tensor | float, *, window: int = 7, padding: Padding = "valid"
) -> Tensor:
    """Structural similarity of each image to its target; 1 where they are equal.

    Uniform window. Both images are first divided by `data_range`, so the result does not depend on
    units, and float32 suffices for a loss: rounding in ``E[x^2] - E[x]^2`` is about 1e-7 of (intensity / data range)^2,
    against a stabiliser of 9e-4, as long as intensities are not many times the data range. An evaluation passes
    float64. Half precision is computed in float32. Keeps about ten images for the backward pass.

    Parameters
    ----------
    prediction, target
        Real magnitudes ``(b, y, x)``, or volumes ``(b, z, y, x)``, in the same arbitrary units. Of volumes the window
        is a cube; `slice_similarity` looks at their slices one by one.
    data_range
        Intensity span that counts as 1: a number, or ``(b,)``. fastMRI takes the maximum of the target's volume.
    window
        Side of the square or cubic window, odd.
    padding
        ``"valid"``: sample covariance, and the mean over windows that lie inside the image: equal to scikit-image's.
        ``"reflect"``: covariance over all of a window's pixels, not one less, and the mean over all windows after
        mirroring the border: the loss that the published i-RIM was trained with.

    Returns
    -------
    ``(b,)``, in the precision of the input, at least float32.

    References
    ----------
    .. [1] Wang et al., *Image quality assessment: from error visibility to structural similarity*, IEEE TIP 2004.
    .. [2] Putzky & Welling, *Invert to Learn to Invert*, NeurIPS 2019.
    """
    _check(prediction, target, window, padding)
    dtype = torch.promote_types(torch.promote_types(prediction.dtype, target.dtype), torch.float32)
    scale = _as_column(data_range, prediction, dtype)
    x, y = (image.to(dtype) / scale for image in (prediction, target))
    if padding == "reflect":
        sides = (window // 2,) * 2 * (x.ndim - 1)
        x, y = (F.pad(image[:, None], sides, mode="reflect")[:, 0] for image in (x, y))
    return _similarity(x, y, window, sample=padding == "valid").flatten(1).mean(dim=1)


def slice_similarity(prediction: Tensor, target: Tensor, data_range: Tensor, *, padding: Padding = "valid") -> Tensor:
    """SSIM of images ``(b, y, x)``, or of volumes ``(b, z, y, x)`` slice by slice, its mean over each one's slices.

    Arguments and result as in `ssim`, with ``data_range`` ``(b,)``.
    """
    if prediction.ndim == 3:
        return ssim(prediction, target, data_range, padding=padding)
    count = prediction.shape[1]
    ranges = data_range.repeat_interleave(count)
    values = ssim(prediction.flatten(0, 1), target.flatten(0, 1), ranges, padding=padding)
    return values.unflatten(0, (-1, count)).mean(dim=1)


def _similarity(x: Tensor, y: Tensor, window: int, *, sample: bool) -> Tensor:
    """Map of local similarity of images of data range 1, by sample covariance or that of all pixels."""
    axes = x.ndim - 1
    unbias = window**axes / (window**axes - 1) if sample else 1.0
    pool = _POOL[axes]
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = (
        pool(image[:, None], window, stride=1)[:, 0] for image in (x, y, x * x, y * y, x * y)
    )
    variances = unbias * (mean_xx - mean_x.square() + mean_yy - mean_y.square())
    covariance = unbias * (mean_xy - mean_x * mean_y)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    return luminance * (2 * covariance + C2) / (variances + C2)


def _as_column(data_range: Tensor | float, images: Tensor, dtype: torch.dtype) -> Tensor:
    scale = torch.as_tensor(data_range, dtype=dtype, device=images.device)
    if scale.ndim > 1 or scale.numel() not in (1, len(images)):
        raise ShapeError(f"data_range is {tuple(scale.shape)}: expected one number, or one an image ({len(images)},).")
    return scale.reshape(-1, *(1,) * (images.ndim - 1))


def _check(prediction: Tensor, target: Tensor, window: int, padding: str) -> None:
    if prediction.ndim not in (3, 4) or prediction.shape != target.shape:
        raise ShapeError(
            f"prediction is {tuple(prediction.shape)} and the target {tuple(target.shape)}: expected the same "
            f"(b, y, x), or (b, z, y, x), twice. Crop both to one size; move coils into b."
        )
    if window < 3 or window % 2 == 0 or window > min(prediction.shape[1:]):
        raise OptionError(
            f"window is {window} for images of {tuple(prediction.shape[1:])} voxels ([z,] y, x): expected an odd "
            f"number from 3 to the smallest side. Give more slices, or score slice by slice."
        )
    if padding not in ("valid", "reflect"):
        raise OptionError(f"padding is {padding!r}: expected 'valid' (scikit-image) or 'reflect' (the i-RIM loss).")
