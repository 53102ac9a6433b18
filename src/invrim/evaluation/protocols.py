"""Named protocols: what is cropped, what counts as the data range, what is averaged over what.

The same pair of arrays gets an SSIM anywhere from 0.50 to 0.58 from different toolkits, all of them "SSIM". A number
therefore travels with the name of its protocol.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from torch import Tensor

from invrim.errors import DataError, OptionError, ShapeError
from invrim.evaluation import slicewise
from invrim.evaluation.alignment import crop_to_width, heart_region, inner_slices
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
    differs: str
    """Why its numbers are others than those of the same name elsewhere, in a line beside them."""
    source: str
    """Who defined it, and where."""
    align: Alignment
    """``prediction, target`` -> the two as they are compared."""
    metrics: Mapping[str, Metric]
    """Each maps the aligned float64 ``prediction, target`` to one scalar."""


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
        differs="one peak for the whole volume, its brightest voxel: dark slices count little and look good",
        source=(
            "Zbontar et al., fastMRI: An Open Dataset and Benchmarks for Accelerated MRI, 2018, section 5.3, and "
            "evaluate.py of the fastMRI package"
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
        differs="SSIM compares blocks of voxels, so that slices which do not fit together cost something",
        source="invrim's own",
        align=crop_to_width,
        metrics={"nmse": nmse, "psnr": psnr, "ssim": volume_ssim},
    ),
    "slice": Protocol(
        name="slice",
        description=(
            "NMSE, PSNR and SSIM (uniform 7 by 7 window) of every slice with the slice's own maximum, averaged over "
            "slices; both cropped to the target's width."
        ),
        differs="every slice has its own maximum as the peak: errors in dark slices count as much as in bright ones",
        source="the functions of fastMRI's evaluate.py, called with every slice in place of the volume",
        align=crop_to_width,
        metrics={"nmse": slicewise.own_nmse, "psnr": slicewise.own_psnr, "ssim": slicewise.own_ssim},
    ),
    "calgary": Protocol(
        name="calgary",
        description=(
            "PSNR, SSIM (uniform 7 by 7 window) and VIF of every slice, averaged over slices without the first and the "
            "last 50; the data range is the span of the values in both slices."
        ),
        differs="the peak grows with the prediction's own maximum, and the first and the last 50 slices are left out",
        source=(
            "Beauferris et al., Multi-Coil MRI Reconstruction Challenge, Frontiers in Neuroscience 16, 2022, and "
            "github.com/rmsouza01/MC-MRI-Rec: Modules/metrics.py, and extract_challenge_metrics_pre_submisison.ipynb, "
            "which scores 156 of 256 slices"
        ),
        align=inner_slices,
        metrics={"psnr": slicewise.spanned_psnr, "ssim": slicewise.spanned_ssim, "vif": slicewise.spanned_vif},
    ),
    "cmrxrecon": Protocol(
        name="cmrxrecon",
        description=(
            "NMSE, PSNR and SSIM (uniform 7 by 7 window) of the two middle slices, each divided by its own maximum, "
            "within the middle third of the readout and half of the phase encoding."
        ),
        differs="target and prediction are each divided by their own maximum: errors of scale do not count",
        source=(
            "Wang et al., CMRxRecon: an open cardiac MRI dataset, 2023, and github.com/CmrxRecon/CMRxRecon: "
            "Evaluation/Evaluation.py of the challenge of 2023, and for the region CMRxReconDemo/run4Ranking.m"
        ),
        align=heart_region,
        metrics={"nmse": slicewise.rescaled_nmse, "psnr": slicewise.rescaled_psnr, "ssim": slicewise.rescaled_ssim},
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
