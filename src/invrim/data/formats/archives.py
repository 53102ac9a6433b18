"""Write an acquisition as an ``.npz`` file that names its own axes, so that it is read back without being told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from invrim.data.acquisition import Acquisition
from invrim.data.formats.array_keys import (
    AFFINE,
    ATTRIBUTES,
    AXES,
    IMAGE_SIZES,
    IS_ORIENTED,
    KSPACES,
    NOISE,
    NOTICES,
    TARGET,
    TRAJECTORIES,
)
from invrim.data.formats.arrays import GRID, PATH
from invrim.data.zero_filled import grid_of_acquisition
from invrim.files import atomic_write


def write_acquisition(path: Path, acquisition: Acquisition) -> None:
    """Write all but a simulation's truth; the file appears only when complete.

    ``kspace`` has the axes that ``axes`` names, without those of length 1 in front; zero where not measured.

    Parameters
    ----------
    path
        Ending in ``.npz``.
    acquisition
        On a grid, or along a trajectory. Two phase encodings are written as the scanner measured them.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    arrays: dict[str, Any] = {}
    names: tuple[str, ...]
    if acquisition.trajectory is None:
        kspace, names = grid_of_acquisition(acquisition).cpu().numpy(), GRID
    else:
        kspace, names = acquisition.kspace.unflatten(0, (acquisition.volumes, -1)).cpu().numpy(), PATH
        points = acquisition.trajectory.cpu().numpy()
        arrays[TRAJECTORIES[1]] = points[0] if len(points) == 1 else points
    kept = [n for n, (name, size) in enumerate(zip(names, kspace.shape, strict=True)) if size > 1 or name in _KEPT]
    arrays[KSPACES[0]] = kspace.reshape([kspace.shape[n] for n in kept])
    arrays[AXES] = " ".join(names[n] for n in kept)
    with atomic_write(path) as temporary, temporary.open("wb") as file:  # a file, for a name would get another suffix
        np.savez(file, **arrays, **_details(acquisition))


_KEPT = {"coil", "ky", "kx", "readouts", "samples"}


def _details(acquisition: Acquisition) -> dict[str, Any]:
    found: dict[str, Any] = {ATTRIBUTES: json.dumps(dict(acquisition.attributes))}
    size, target = acquisition.image_size, acquisition.target
    if size is None and target is not None:
        size = (target.shape[-2], target.shape[-1])
    if size is not None:
        found[IMAGE_SIZES[0]] = np.array(size)
    if target is not None:
        found[TARGET] = target.cpu().numpy()
    if acquisition.noise is not None:
        found[NOISE] = acquisition.noise.cpu().numpy()
    if acquisition.notices:
        found[NOTICES] = np.array(acquisition.notices)
    if acquisition.geometry is not None:
        found[AFFINE], found[IS_ORIENTED] = acquisition.geometry.affine, acquisition.geometry.is_oriented
    return found
