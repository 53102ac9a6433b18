"""Small scans for tests: a phantom that is no square, sampled, with its truth."""

from pathlib import Path

import numpy as np

from invrim.data.acquisition import Acquisition
from invrim.data.formats.fastmri import write_acquisition
from invrim.data.simulation import simulate_volume


def phantom(slices: int = 3, size: tuple[int, int] = (48, 40)) -> np.ndarray:
    """Ellipses inside a head, each slice a little different; float32 ``(slices, y, x)``."""
    y, x = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]), indexing="ij")
    stack = []
    for n in range(slices):
        head = (x / 0.75) ** 2 + (y / 0.9) ** 2 < 1
        ventricle = ((x - 0.1) / 0.2) ** 2 + ((y + 0.1 * n) / 0.3) ** 2 < 1
        lesion = (x + 0.4) ** 2 + (y - 0.3) ** 2 < 0.01 * (1 + n)
        stack.append(head * 0.6 - ventricle * 0.4 + lesion * 0.4)
    return np.clip(np.stack(stack), 0, None).astype(np.float32)


def scan(name: str = "a.h5", *, coils: int = 1, acceleration: float = 1, slices: int = 3, seed: int = 0) -> Acquisition:
    return simulate_volume(phantom(slices), name, coils=coils, acceleration=acceleration, snr=40, seed=seed)


def scan_file(folder: Path, name: str = "a.h5", **options) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_acquisition(folder / name, scan(name, **options))
    return folder / name
