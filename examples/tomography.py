"""How much better than filtered back-projection is an i-RIM on 30 parallel-beam views?

python examples/tomography.py                   # some minutes on two cores
python examples/tomography.py --data FOLDER     # also scores a real abdomen and a real tooth

Learns from photographs and ellipses, never from a scan. FOLDER, ``shared/data`` if not named, holds a CT volume that is
projected again, ``ct/abdomen_ct_3mm.nii.gz``, and sinograms of a tooth in TomoPy's layout, ``ct/tooth_sino.h5``.
Filtered back-projection is scikit-image's, with the best of its filters for every image.
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
from torch.nn.functional import pad

from invrim.data.formats.nifti import read_volume, slices
from invrim.operators import Filter, LeastSquares, ParallelBeam, RealPart, crop_centre
from photographs import HELD_BACK, crops, photograph
from workbench import Bench, psnr

SIZE, VIEWS, UPDATES = 128, 30, 400
NOISE = 0.005  # standard deviation, relative to the largest line integral of an image
FILTERS = ("ramp", "shepp-logan", "cosine", "hamming", "hann")
ABDOMEN, AIR, RANGE = slice(20, 100, 16), -1000.0, 2000.0
"""Slices of the volume; Hounsfield units that become 0, and how many more become 1."""
TOOTH_AXIS, TOOTH_BIN, TOOTH_EVERY = 295.75, 3, 6
"""Detector column of the axis of rotation, where the views of 0 and 180 degrees mirror each other best; columns that
make a bin; of its 181 views over 180 degrees, every sixth is used."""


class Scanner:
    """Views of what lies in the circle.

    The model sees the physics after a filter, the square root of the ramp, which makes its gain more alike for all
    frequencies: the back-projected data are then filtered back-projection. Margins of air keep the filter's ends apart.
    """

    def __init__(self, angles: Tensor) -> None:
        self.angles, self.views = angles, ParallelBeam(angles, SIZE, 2 * SIZE)
        ramp = torch.fft.fftfreq(2 * SIZE).abs().clamp_min(0.1 / SIZE)  # zero frequency as in scikit-image
        self.whitening = Filter((ramp * math.pi / len(angles)).sqrt().reshape(1, 1, -1))

    def measure(self, images: Tensor, generator: Generator) -> Tensor:
        clean = crop_centre(self.views(images), (SIZE,))
        return clean + NOISE * clean.amax(dim=(1, 2), keepdim=True) * torch.randn(clean.shape, generator=generator)

    def fidelity(self, integrals: Tensor) -> LeastSquares:
        data = self.whitening(pad(integrals, (SIZE // 2, SIZE - SIZE // 2)))
        return LeastSquares(self.whitening @ self.views @ RealPart(), data)


def filtered(integrals: Tensor, angles: Tensor, name: str) -> Tensor:
    """Reconstruct one image by filtered back-projection."""
    image = iradon(integrals.double().numpy().T, np.rad2deg(angles.numpy()), filter_name=name, output_size=SIZE)
    return torch.from_numpy(image.astype(np.float32))


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
    square = crop_centre(torch.from_numpy(image), [min(image.shape)] * 2).numpy()
    return torch.from_numpy(resize(square, (SIZE, SIZE), anti_aliasing=True)).float()


def abdomen(path: Path) -> Tensor:
    """Return axial slices of a CT volume, ``(n, y, x)``."""
    stack = (slices(read_volume(path), "axial")[ABDOMEN] - AIR) / RANGE
    spare = [(0, 0), *(((SIZE - n) // 2, (SIZE - n + 1) // 2) for n in stack.shape[1:])]
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
    generator, seen = torch.Generator().manual_seed(0), circle()
    scanner = Scanner(torch.arange(VIEWS, dtype=torch.double) * math.pi / VIEWS)

    def draw() -> tuple[LeastSquares, Tensor]:
        images = torch.cat([crops(1, SIZE, generator), ellipses(1, generator)]) * seen
        return scanner.fidelity(scanner.measure(images, generator)), images

    model = bench.train(draw, cg_iterations=4)

    def score(group: str, name: str, target: Tensor, integrals: Tensor, scanner: Scanner) -> None:
        candidates = [filtered(integrals, scanner.angles, choice) for choice in FILTERS]
        best = max(candidates, key=lambda image: psnr(image, target, seen))
        (estimate,) = model(scanner.fidelity(integrals[None]))
        bench.score(group, name, target, {"FBP": best, "i-RIM": estimate}, seen)

    held_back = {
        "photographs": {name: to_size(photograph(name).numpy()) for name in HELD_BACK},
        "Shepp-Logan phantom": {"phantom": to_size(skimage.data.shepp_logan_phantom())},
    }
    if path := bench.find("ct/abdomen_ct_3mm.nii.gz"):
        held_back["abdomen, projected again"] = {f"slice {i}": image for i, image in enumerate(abdomen(path))}
    generator.manual_seed(1)
    for group, images in held_back.items():
        for name, image in images.items():
            score(group, name, image * seen, scanner.measure(image[None] * seen, generator)[0], scanner)
    if path := bench.find("ct/tooth_sino.h5"):
        integrals, angles = tooth(path)
        some = slice(0, TOOTH_EVERY * VIEWS, TOOTH_EVERY)
        reference = filtered(integrals, angles, "ramp") * seen
        score("tooth, measured", "row 0", reference, integrals[some], Scanner(angles[some]))
    bench.finish({"size": SIZE, "views": VIEWS, "noise": NOISE})


if __name__ == "__main__":
    main()
