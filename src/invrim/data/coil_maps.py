"""Coil sensitivities from the calibration lines of the scan itself."""

import torch
from torch import Tensor

from invrim.data.adaptive_combination import adaptive_maps
from invrim.data.calibration import calibration_region, low_resolution, require_slices
from invrim.data.espirit import espirit_maps
from invrim.errors import DataError, OptionError

METHODS = ("calibration", "adaptive", "espirit")
"""Ways to estimate coil maps: each coil's low-resolution image, their covariance around every pixel, or ESPIRiT."""
_ESPIRIT_WIDTH = 24
"""Of ESPIRiT's calibration region, as everybody takes it."""
_PATCH = 6
"""Of ESPIRiT likewise. Patches wider than half the region are too few to span the others, and what they do not span
is taken for empty: of a real 13-coil head with 9 lines the maps miss by 0.34 with patches of 6, by 0.001 with 4."""
_NARROWEST = 6
"""Region for ESPIRiT: half of it is the smallest patch that has neighbours on all sides."""


def require_method(method: str) -> None:
    """Refuse the name of a method that there is not."""
    if method not in METHODS:
        raise OptionError(f"expected coil maps by {', '.join(METHODS)}, got {method!r}. Choose one of these.")


def estimate_maps(kspace: Tensor, mask: Tensor | None = None, method: str = "calibration") -> Tensor:
    """Estimate coil maps by one of `METHODS`.

    All carry the smooth phase of the object, so that the combined image is nearly real.

    Parameters
    ----------
    kspace, mask
        As of `maps_from_calibration`.
    method
        ``"calibration"``: `maps_from_calibration`. ``"adaptive"``: `invrim.data.adaptive_combination.adaptive_maps`.
        ``"espirit"``: `invrim.data.espirit.espirit_maps`, whose maps fade to 0 where nothing calibrates. It needs at
        least 6 calibration lines, or 6 x 6 points; its patches are 6 wide, or half as wide as those.

    Returns
    -------
    Tensor
        Complex ``(b, coil, y, x)``.

    Raises
    ------
    OptionError
        Another method.
    DataError
        Too little of the centre was measured for the method.
    """
    require_method(method)
    if method == "calibration":
        return maps_from_calibration(kspace, mask)
    maps = adaptive_maps(kspace, mask) if method == "adaptive" else _espirit(kspace, mask)
    return _with_phase_of(maps, low_resolution(kspace, mask))


def _espirit(kspace: Tensor, mask: Tensor | None) -> Tensor:
    """Of the fully sampled centre, with patches as wide as it is good for."""
    require_slices(kspace)
    region = calibration_region((kspace.shape[-2], kspace.shape[-1]), mask, _ESPIRIT_WIDTH)
    narrowest = min(part.stop - part.start for part in region)
    if narrowest < _NARROWEST:
        raise DataError(
            f"expected at least {_NARROWEST} calibration lines around the centre of k-space for ESPIRiT, got "
            f"{narrowest}. Sample more centre lines, or estimate the maps by another method."
        )
    return espirit_maps(kspace, calibration=region, kernel=min(_PATCH, narrowest // 2))


def _with_phase_of(maps: Tensor, images: Tensor) -> Tensor:
    """Turn the maps of every pixel together, so that they combine the coils' images to a real one."""
    combined = (maps.conj() * images).sum(dim=1, keepdim=True)
    return maps * torch.exp(1j * combined.angle())


def maps_from_calibration(kspace: Tensor, mask: Tensor | None = None) -> Tensor:
    """Estimate coil maps from the fully sampled centre of k-space.

    The centre is windowed, so that its sharp edge does not ring, transformed, and every coil's low-resolution image
    divided by their root sum of squares. One transform in time, two copies of the k-space in memory.

    The map of a single coil is the slowly varying phase of the object: with it the image is nearly real, its k-space
    nearly conjugate-symmetric, and every measured line says something about the one opposite.
    It takes what lines there are: from a single one, the phase is constant along x.

    Of two phase encodings a block of points calibrates instead, along both axes.

    Parameters
    ----------
    kspace
        Complex ``(b, coil, ky, kx)``, zero where not sampled.
    mask
        Sampled lines ``(kx,)``, or points ``(ky, kx)``; None where all were. The block of lines around its centre
        calibrates; along the readout twice as many samples are used, scaled by the matrix. Of points it is the
        largest block around the centre.

    Returns
    -------
    Tensor
        Complex ``(b, coil, y, x)`` with unit root sum of squares, 0 where there is no signal at all. The maps carry
        the smooth phase of the object, so the combined image is nearly real.

    Raises
    ------
    DataError
        The centre was not measured, or fewer than 3 lines, or 3 x 3 points, calibrate several coils.

    References
    ----------
    .. [McKenzie02] McKenzie et al., *Self-calibrating parallel imaging with automatic coil sensitivity extraction*,
       MRM 47, 2002.
    .. [Noll91] Noll et al., *Homodyne detection in magnetic resonance imaging*, IEEE TMI 10, 1991.
    """
    images = low_resolution(kspace, mask)
    rss = torch.linalg.vector_norm(images, dim=1, keepdim=True)
    return torch.where(rss > 0, images / rss.clamp_min(torch.finfo(rss.dtype).tiny), torch.zeros_like(images))
