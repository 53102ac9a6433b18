"""Named protocols: what is cropped, what counts as the data range, what is averaged over what.

The same pair of arrays gets an SSIM anywhere from 0.50 to 0.58 from different toolkits, all of them "SSIM". A number
therefore travels with the name of its protocol.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from torch import Tensor

from invrim.errors import DataError, OptionError, ShapeError
from invrim.metrics import nmse, psnr, ssim

Metric = Callable[[Tensor, Tensor], Tensor]
Alignment = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How one volume is scored."""

    name: str
    """What users type, and what is printed beside every number."""
    description: str
    """One sentence for tables and captions."""
    align: Alignment
    """``prediction, target`` -> the two as they are compared."""
    metrics: Mapping[str, Metric]
    """Each maps the aligned float64 ``prediction, target`` to one scalar."""


def crop_to_width(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Cut the centre, as wide as the target and as high, from both; a lower target keeps its height.

    fastMRI's scorer takes this square and refuses targets lower than wide; here those are compared whole.
    """
    width = target.shape[-1]
    height = min(target.shape[-2], width)
    return _centre(prediction, height, width), _centre(target, height, width)


def slice_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over slices, each with the maximum of the whole target volume as its data range."""
    return ssim(prediction, target, target.max()).mean()


def volume_ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Of the whole volume, with windows of 7 slices too."""
    return ssim(prediction[None], target[None], target.max()).squeeze(0)


PROTOCOLS: dict[str, Protocol] = {
    "fastmri": Protocol(
        name="fastmri",
        description=(
            "NMSE and PSNR per volume with the volume's maximum as the peak; SSIM per slice (uniform 7 by 7 window, "
            "volume maximum), averaged over slices; both cropped to the target's width."
        ),
        align=crop_to_width,
        metrics={"nmse": nmse, "psnr": psnr, "ssim": slice_ssim},
    ),
    "volume": Protocol(
        name="volume",
        description=(
            "As fastmri, but SSIM over the volume (uniform 7 by 7 by 7 window, volume maximum): it sees whether "
            "neighbouring slices fit together."
        ),
        align=crop_to_width,
        metrics={"nmse": nmse, "psnr": psnr, "ssim": volume_ssim},
    ),
}


def find_protocol(name: str) -> Protocol:
    """Look a protocol up by its name."""
    if name not in PROTOCOLS:
        close = get_close_matches(name.lower(), PROTOCOLS, n=1, cutoff=0.4)
        hint = f"Did you mean {close[0]!r}?" if close else "Choose one of them."
        raise OptionError(f"protocol is {name!r}: expected one of {', '.join(PROTOCOLS)}. {hint}")
    return PROTOCOLS[name]


def evaluate_volume(target: Tensor, prediction: Tensor, protocol: str = "fastmri") -> dict[str, float]:
    """Score one volume, in float64.

    Parameters
    ----------
    target, prediction
        Real magnitudes ``(slices, y, x)`` in the same units; the prediction may be larger in y and x.
    protocol
        A name in `PROTOCOLS`.

    Returns
    -------
    Metric name -> value; PSNR in decibels, the others without unit.
    """
    rules = find_protocol(protocol)
    _check(target, prediction)
    aligned = [volume.double() for volume in rules.align(prediction, target)]
    return {name: metric(*aligned).item() for name, metric in rules.metrics.items()}


def _check(target: Tensor, prediction: Tensor) -> None:
    if target.ndim != 3 or prediction.ndim != 3 or len(target) != len(prediction):
        raise ShapeError(
            f"prediction is {tuple(prediction.shape)} but the target is {tuple(target.shape)}: expected "
            f"(slices, y, x) for both, with as many slices. Reconstruct the whole volume."
        )
    if not prediction.isfinite().all():
        count = int((~prediction.isfinite()).sum())
        raise DataError(f"prediction has {count} values that are NaN or infinite: expected none. Reconstruct it again.")
    if not target.isfinite().all() or not target.max() > 0:
        raise DataError("target is empty, NaN or infinite: expected finite magnitudes above zero. Check the file.")


def _centre(volume: Tensor, height: int, width: int) -> Tensor:
    top, left = (volume.shape[-2] - height) // 2, (volume.shape[-1] - width) // 2
    if top < 0 or left < 0:
        raise ShapeError(
            f"prediction is {tuple(volume.shape[-2:])} pixels (y, x) but the target has {(height, width)} to compare. "
            f"Reconstruct at the target's size or larger."
        )
    return volume[..., top : top + height, left : left + width]
