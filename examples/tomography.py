"""How much better than filtered back-projection is an i-RIM on 30 parallel-beam views?

python examples/tomography.py                   # some minutes on two cores
python examples/tomography.py --data FOLDER     # also scores a real abdomen and a real tooth

Learns from photographs and ellipses inside the circle that the detector sees; no scan takes part. FOLDER holds
``ct/abdomen_ct_3mm.nii.gz``, a CT volume that is projected again, and ``ct/tooth_sino.h5``, sinograms of a tooth from a
synchrotron in TomoPy's layout; ``shared/data`` is looked for unless another is named. Filtered back-projection is
scikit-image's, with the best of its filters for every image.
"""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import skimage.data
import torch
from skimage.transform import iradon, resize
from torch import Generator, Tensor

from invrim.data.formats.nifti import read_volume, slices
from invrim.operators import LeastSquares, ParallelBeam, RealPart, normalised
from photographs import HELD_BACK, crops, photograph
from workbench import Bench, psnr

SIZE, VIEWS = 128, 30
ANGLES = torch.arange(VIEWS, dtype=torch.double) * math.pi / VIEWS
NOISE = 0.005
"""Standard deviation, relative to the largest line integral of an image."""
FILTERS = ("ramp", "shepp-logan", "cosine", "hamming", "hann")
UPDATES = 500
ABDOMEN_SLICES = slice(20, 100, 16)
AIR, SOFT_TISSUE_AND_BONE = -1000.0, 2000.0
"""Hounsfield units that become 0, and how many more become 1."""
TOOTH_AXIS, TOOTH_BIN, TOOTH_EVERY = 295.75, 3, 6
"""Detector column of the axis of rotation, where the views of 0 and 180 degrees mirror each other best; columns that
make a bin; of 181 views over 180 degrees, every sixth is used."""


class Scanner:
    """Views of what lies in the circle, in units that make the norm of the operator 1."""

    def __init__(self, angles: Tensor = ANGLES) -> None:
        self.degrees = np.rad2deg(angles.numpy())
        self.operator = normalised(ParallelBeam(angles, SIZE), torch.zeros(1, SIZE, SIZE))

    def measure(self, images: Tensor, generator: Generator) -> Tensor:
        clean = self.operator(images)
        return clean + NOISE * clean.amax(dim=(1, 2), keepdim=True) * torch.randn(clean.shape, generator=generator)

    def fidelity(self, sinograms: Tensor) -> LeastSquares:
        return LeastSquares(self.operator @ RealPart(), sinograms)

    def filtered(self, sinogram: Tensor, name: str) -> np.ndarray:
        lengths = (sinogram / self.operator.factor).double().numpy()
        return iradon(lengths.T, self.degrees, filter_name=name, output_size=SIZE).astype(np.float32)


def circle() -> Tensor:
    """Which pixels every view sees."""
    grid = torch.arange(SIZE) - SIZE // 2
    return grid[:, None] ** 2 + grid**2 < (SIZE // 2 - 1) ** 2


def ellipses(count: int, generator: Generator) -> Tensor:
    """Draw phantoms ``(count, y, x)``: an object in air, and up to 12 ellipses that are lighter or darker than it."""
    grid = torch.linspace(-1, 1, SIZE)
    images = torch.zeros(count, SIZE, SIZE)
    for image in images:
        for index in range(int(torch.randint(3, 13, (), generator=generator))):
            u = torch.rand(6, generator=generator)
            reach = (0.4 + 0.5 * u[:2]) if index == 0 else (0.02 + 0.3 * u[:2])
            centre = (u[2:4] - 0.5) * (0.2 if index == 0 else 1.0)
            y, x = grid[:, None] - centre[0], grid - centre[1]
            c, s = torch.cos(math.pi * u[4]), torch.sin(math.pi * u[4])
            inside = ((c * x + s * y) / reach[0]) ** 2 + ((c * y - s * x) / reach[1]) ** 2 < 1
            image[inside & (image > 0 if index else image == 0)] = 0.1 + 0.9 * u[5]
    return images


def to_size(image: np.ndarray) -> Tensor:
    """Shrink the central square of an image to the scanner's size."""
    n = min(image.shape)
    y, x = ((length - n) // 2 for length in image.shape)
    square = resize(image[y : y + n, x : x + n], (SIZE, SIZE), anti_aliasing=True)
    return torch.from_numpy(square.astype(np.float32))


def abdomen(path: Path) -> Tensor:
    """Return axial slices of a CT volume, ``(n, y, x)``."""
    stack = (slices(read_volume(path), "axial")[ABDOMEN_SLICES] - AIR) / SOFT_TISSUE_AND_BONE
    spare = [(0, 0), *(((SIZE - n) // 2, SIZE - n - (SIZE - n) // 2) for n in stack.shape[1:])]
    return torch.from_numpy(np.pad(stack.clip(0, 1), spare)).float()


def tooth(path: Path) -> tuple[Tensor, Tensor]:
    """Return one row's line integrals ``(views, bins)``, the axis at bin ``SIZE // 2``, and the angles in radians."""
    with h5py.File(path) as file:
        counts, dark, white = (file[f"exchange/{name}"][:, 0] for name in ("data", "data_dark", "data_white"))
        angles = torch.from_numpy(np.deg2rad(file["exchange/theta"][:]))
    air = white.mean(0) - dark.mean(0)
    integrals = -np.log(((counts - dark.mean(0)) / air).clip(1e-3))
    first = round(TOOTH_AXIS - (TOOTH_BIN - 1) / 2 - TOOTH_BIN * (SIZE // 2))
    bins = integrals[:, first : first + TOOTH_BIN * SIZE].reshape(len(angles), SIZE, TOOTH_BIN).mean(-1)
    return torch.from_numpy(bins), angles


def main() -> None:
    bench = Bench("tomography", __doc__, UPDATES)
    generator, seen, scanner = torch.Generator().manual_seed(0), circle(), Scanner()

    def draw() -> tuple[LeastSquares, Tensor]:
        images = torch.cat([crops(1, SIZE, generator), ellipses(1, generator)]) * seen
        return scanner.fidelity(scanner.measure(images, generator)), images

    model = bench.train(draw, cg_iterations=6)

    def score(group: str, name: str, target: Tensor, sinogram: Tensor, scanner: Scanner) -> None:
        candidates = [scanner.filtered(sinogram, choice) for choice in FILTERS]
        best = max(candidates, key=lambda image: psnr(image, target, seen))
        bench.score(group, name, target, {"FBP": best, "i-RIM": model(scanner.fidelity(sinogram[None]))[0]}, seen)

    held_back = {
        "photographs": {name: to_size(photograph(name).numpy()) for name in HELD_BACK},
        "Shepp-Logan phantom": {"phantom": to_size(skimage.data.shepp_logan_phantom())},
    }
    if path := bench.find("ct/abdomen_ct_3mm.nii.gz"):
        held_back["abdomen, projected again"] = {f"slice {i}": image for i, image in enumerate(abdomen(path))}
    for group, images in held_back.items():
        for name, image in images.items():
            target = image * seen
            score(group, name, target, scanner.measure(target[None], generator)[0], scanner)
    if path := bench.find("ct/tooth_sino.h5"):
        integrals, angles = tooth(path)
        every, few = Scanner(angles), Scanner(angles[: -1 : TOOTH_EVERY])
        reference = torch.from_numpy(every.filtered(integrals * every.operator.factor, "ramp")) * seen
        score("tooth, measured", "row 0", reference, integrals[:-1:TOOTH_EVERY] * few.operator.factor, few)
    bench.finish({"size": SIZE, "views": VIEWS, "noise": NOISE})


if __name__ == "__main__":
    main()
