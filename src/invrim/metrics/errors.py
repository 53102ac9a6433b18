"""Errors summed over a whole volume: NMSE and PSNR."""

from torch import Tensor

from invrim.errors import ShapeError


def nmse(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared error relative to the squared target, over all voxels together; 0 is perfect, 1 is an empty image.

    Parameters
    ----------
    prediction, target
        Real magnitudes of equal shape ``(slices, y, x)``, in the same arbitrary units.

    Returns
    -------
    Scalar, float64 whatever the input: sums over millions of voxels lose digits in float32.

    References
    ----------
    .. [1] Zbontar et al., *fastMRI: An Open Dataset and Benchmarks for Accelerated MRI*, 2018, section 5.3.
    """
    error, reference = _difference(prediction, target)
    return error.square().sum() / reference.square().sum()


def psnr(prediction: Tensor, target: Tensor, data_range: Tensor | float | None = None) -> Tensor:
    """Peak signal-to-noise ratio in decibels over all voxels together; infinite where both are equal.

    Parameters
    ----------
    prediction, target
        Real magnitudes of equal shape ``(slices, y, x)``, in the same arbitrary units.
    data_range
        The peak, in the same units; the target's maximum by default, as fastMRI has it.

    Returns
    -------
    Scalar, float64.
    """
    error, reference = _difference(prediction, target)
    peak = reference.max() if data_range is None else reference.new_tensor(float(data_range))
    return 10 * (peak.square() / error.square().mean()).log10()


def _difference(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if prediction.shape != target.shape:
        raise ShapeError(
            f"prediction is {tuple(prediction.shape)} but the target is {tuple(target.shape)}. Crop both to one size."
        )
    reference = target.double()
    return prediction.double() - reference, reference
