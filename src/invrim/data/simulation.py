"""From a real image to the measurement that a scanner would have made of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.data.appearance import OBJECT, Appearance
from invrim.data.coil_profiles import ring_of_coils
from invrim.data.formats.fastmri import write_acquisition
from invrim.data.formats.nifti import Plane, read_volume, slices, volume_name
from invrim.data.mask_kinds import mask_of_file
from invrim.data.masks import require_acceleration
from invrim.errors import DataError, OptionError
from invrim.files import make_folder
from invrim.operators.fourier import fft_centred, ifft_centred

_PHASE_ORDER = 3
"""Polynomial order of the background phase: field inhomogeneity varies slowly over a head."""


@dataclass(frozen=True, kw_only=True)
class SliceChoice:
    """Which slices of a stack are simulated."""

    every: int = 1
    """Take every n-th slice."""
    min_signal: float = 0.05
    """Leave out slices in which less than this fraction of the pixels is object."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise OptionError(f"expected every >= 1, got {self.every}. Use 1 for every slice, 2 for every other one.")


def simulate_volume(
    stack: np.ndarray,
    name: str,
    *,
    coils: int = 1,
    acceleration: float = 1.0,
    snr: float = 30.0,
    appearance: Appearance | None = None,
    seed: int = 0,
    choice: SliceChoice | None = None,
    phase_encodes: int = 1,
    masks: str = "random",
) -> Acquisition:
    """Simulate a Cartesian scan of a stack of magnitude images.

    Intensities are scaled so that the 99.9th percentile of the stack's positive voxels is 1. The object gets a
    smooth phase, is seen by every coil, transformed, and white complex Gaussian noise is added to every coil's
    k-space. The signal-to-noise ratio is the mean magnitude of the object (pixels above a tenth of that percentile)
    over the standard deviation of the real, and of the imaginary, part of the noise in the image; the transform is
    unitary and the sensitivities have unit root sum of squares, so this is also the ratio in the optimally combined
    image.

    Parameters
    ----------
    stack
        Real, not negative, ``(slices, y, x)``.
    name
        File name that the acquisition will have, suffix included; it seeds the mask.
    coils
        Number of coils.
    acceleration
        1 measures every line and sets no mask; above, a mask with a centre fraction of 0.32 / acceleration.
    snr
        As defined above; ``inf`` adds no noise.
    appearance
        What the scan adds to the looks of the volume, and of the target; by default nothing.
    seed
        Of phase, coils and noise: equal arguments give equal bits.
    choice
        Which slices; by default all that are not almost empty.
    phase_encodes
        1 for slices, whose columns are left out. 2 for a volume with its readout along the slices, of which points of
        both other axes are left out, at random with a dense centre: see `invrim.data.volumes`.
    masks
        Their kind, see `invrim.data.mask_kinds`.

    Returns
    -------
    Acquisition
        With truth ``image`` ``(slices, y, x)`` and ``maps`` ``(coil, y, x)``. The target of one coil is the noise-free
        magnitude; of several, the root sum of squares of their fully sampled images, noise included, as fastMRI has it.

    Raises
    ------
    DataError
        The stack is empty, negative, or not finite, or no slice is left.
    """
    _require_options(coils, acceleration, snr, phase_encodes)
    magnitude = _scaled(stack, choice or SliceChoice())
    generator = torch.Generator().manual_seed(seed)
    size = (magnitude.shape[1], magnitude.shape[2])
    appearance = appearance or Appearance()
    magnitude = appearance.magnitude(magnitude)
    image = torch.polar(magnitude, _smooth_phase(magnitude.shape, generator) + appearance.phase(magnitude))
    maps = ring_of_coils(coils, size, generator)
    kspace = fft_centred(maps * image.unsqueeze(1))
    deviation = float(magnitude[magnitude > OBJECT].mean()) / snr
    kspace += deviation * _white_noise(kspace.shape, generator)
    target = magnitude if coils == 1 else torch.linalg.vector_norm(ifft_centred(kspace), dim=1)
    mask = None if acceleration == 1 else mask_of_file(size, phase_encodes, acceleration, name, masks)
    facts = {"phase_encodes": 2} if phase_encodes == 2 else {}
    return Acquisition(
        name=name,
        kspace=kspace if mask is None else kspace * mask,
        mask=mask,
        target=target,
        attributes={"acquisition": "simulated", "max": float(target.max()), "snr": snr, "seed": seed, **facts},
        truth={"image": image, "maps": maps},
    )


def _scaled(stack: np.ndarray, choice: SliceChoice) -> Tensor:
    if stack.ndim != 3 or not stack.size or not np.isfinite(stack).all() or stack.min() < 0 or not stack.any():
        raise DataError(
            f"expected finite magnitudes (slices, y, x) that are not all zero, got {stack.dtype} of shape "
            f"{stack.shape} that is not. Take absolute values, replace NaN, or choose another volume."
        )
    # Of positive voxels only: volumes differ in how much empty space surrounds the head.
    scaled = stack.astype(np.float32) / np.float32(np.percentile(stack[stack > 0], 99.9))
    chosen = scaled[:: choice.every]
    chosen = chosen[(chosen > OBJECT).mean(axis=(1, 2)) >= choice.min_signal]
    if not len(chosen):
        raise DataError(
            f"expected slices with at least {choice.min_signal:.0%} object, got none. Lower `min_signal` or `every`."
        )
    return torch.from_numpy(chosen)


def _smooth_phase(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Polynomial in y and x whose coefficients drift through the stack, radians ``(slices, y, x)``."""
    count, rows, columns = shape
    turn = torch.linspace(0, 2 * torch.pi, count).view(-1, 1, 1)
    y = torch.linspace(-1, 1, rows).view(1, -1, 1)
    x = torch.linspace(-1, 1, columns).view(1, 1, -1)
    phase = torch.zeros(count, rows, columns)
    for i in range(_PHASE_ORDER + 1):
        for j in range(_PHASE_ORDER + 1 - i):
            still, sine, cosine = (torch.randn(3, generator=generator) * torch.pi / (1 + i + j)).tolist()
            phase += (still + sine * turn.sin() + cosine * turn.cos()) * y**i * x**j
    return phase


def _white_noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Complex64, standard deviation 1 in each of real and imaginary part."""
    return torch.view_as_complex(torch.randn(*shape, 2, generator=generator))


def _require_options(coils: int, acceleration: float, snr: float, phase_encodes: int) -> None:
    require_acceleration(acceleration)
    if phase_encodes not in (1, 2):
        raise OptionError(f"expected 1 or 2 phase encodes, got {phase_encodes}. Use 1 for slices, 2 for a volume.")
    if coils < 1 or not snr > 0:
        raise OptionError(f"expected coils >= 1 and snr > 0, got {coils} and {snr:g}. Use snr=inf for no noise.")


def simulated_path(image: Path, out: Path, plane: Plane) -> Path:
    """Where the scan of a volume is written: ``out / "<volume>_<plane>.h5"``."""
    return out / f"{volume_name(image)}_{plane}.h5"


def simulate_file(
    image: Path,
    out: Path,
    *,
    plane: Plane = "axial",
    coils: int = 1,
    acceleration: float = 1.0,
    snr: float = 30.0,
    seed: int = 0,
    choice: SliceChoice | None = None,
    phase_encodes: int = 1,
    masks: str = "random",
) -> Path:
    """Simulate a scan of a NIfTI volume and write `simulated_path`; options as `simulate_volume`."""
    path = simulated_path(image, out, plane)
    stack = np.maximum(slices(read_volume(image), plane), 0)
    acquisition = simulate_volume(
        stack, path.name, coils=coils, acceleration=acceleration, snr=snr, seed=seed, choice=choice,
        phase_encodes=phase_encodes, masks=masks,
    )  # fmt: skip
    make_folder(out)
    write_acquisition(path, acquisition)
    return path
