"""Read k-space from plain arrays, ``.npy``, ``.npz`` and ``.mat``, whose axes somebody has to name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from invrim.data.acquisition import Acquisition
from invrim.data.formats.array_files import load_arrays
from invrim.data.sampling_pattern import sampling_pattern
from invrim.data.volumes import acquisition_of_volume
from invrim.errors import DataError, OptionError, ShapeError

_NAMES = ("kspace", "ksp", "kdata", "rawdata", "data")
"""Of k-space among several arrays, the surest first."""
_TRAJECTORIES = ("traj", "trajectory", "coords")
_SIZES = ("image_size", "matrix")
_GRID = ("volume", "slice", "coil", "kz", "ky", "kx")
_PATH = ("volume", "slice", "coil", "readouts", "samples")
"""Axes of k-space on a grid, and along a trajectory, in the order that they are brought into."""
_MOST_COILS = 128


def read(path: Path, axes: str | None) -> Acquisition:
    """Read k-space, and a trajectory if there is one.

    Among several arrays k-space is named ``kspace``, ``ksp``, ``kdata``, ``rawdata`` or ``data``, or is the only
    complex one. A trajectory is named ``traj``, ``trajectory`` or ``coords``, ``([slice,] readouts, samples, 2)`` with
    ``(ky, kx)`` last, in cycles per pixel, -0.5 to 0.5. Its grid is ``image_size`` or ``matrix``
    ``(y, x)``, else half as many pixels as samples, whose readouts are usually twice as dense as needed.

    Parameters
    ----------
    path
        ``.npy``, ``.npz`` or ``.mat``.
    axes
        Names of k-space's axes, of ``volume slice coil kz ky kx`` or ``volume slice coil readouts samples``: on a grid
        ky is the readout, kx the phase encoding; with kz, ky is the second phase encoding and kz the readout.

    Raises
    ------
    OptionError
        Without axes, with a guess to paste; or axes that do not fit the array.
    FileError
        The file is damaged, or holds no k-space.
    DataError
        NaN or Inf.
    """
    arrays = load_arrays(path)
    name = _kspace_name(path, arrays)
    kspace = arrays[name]
    trajectory = next((arrays[key] for key in _TRAJECTORIES if key in arrays), None)
    ordered = _ordered(path, kspace, axes, is_path=trajectory is not None)
    if not np.isfinite(ordered).all():
        raise DataError(f"{path}: expected finite k-space, got NaN or Inf. Set its bad samples to zero.")
    stack = torch.from_numpy(np.ascontiguousarray(ordered, dtype=np.complex64))
    volumes, slices = stack.shape[:2]
    if trajectory is not None:
        size = next((arrays[key] for key in _SIZES if key in arrays), None)
        return _along_path(path, stack.flatten(0, 1), trajectory, size, volumes)
    if "kz" not in str(axes).split():
        flat = stack[:, :, :, 0].flatten(0, 1)
        return Acquisition(name=path.name, kspace=flat, mask=sampling_pattern(flat), volumes=volumes)
    if volumes * slices > 1:
        raise ShapeError(f"{path}: expected one volume, got {volumes * slices}. Store one in a file.")
    return acquisition_of_volume(path.name, stack[0, 0], (stack[0, 0] != 0).any(dim=1).any(dim=0))


def _kspace_name(path: Path, arrays: dict[str, np.ndarray]) -> str:
    complex_ones = [name for name, array in arrays.items() if np.iscomplexobj(array)]
    named = [name for name in _NAMES if name in complex_ones]
    if named or len(complex_ones) == 1:
        return named[0] if named else complex_ones[0]
    found = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in sorted(arrays.items())) or "nothing"
    raise DataError(f"{path}: expected complex k-space, of several arrays one named `kspace`, got {found}. Rename it.")


def _ordered(path: Path, kspace: np.ndarray, axes: str | None, *, is_path: bool) -> np.ndarray:
    """Bring the axes into the order of `_GRID` or `_PATH`; those that are missing have the size 1."""
    known = _PATH if is_path else _GRID
    if axes is None:
        raise OptionError(
            f"{path}: expected --axes, the names of the axes of an array {kspace.shape}, got none. "
            f'It looks like --axes "{guess_axes(kspace.shape, is_path=is_path)}".'
        )
    names = axes.split()
    fit = set(names) <= set(known) and set(known[-2:]) <= set(names) and len(set(names)) == len(names) == kspace.ndim
    if not fit:
        raise OptionError(
            f"{path}: expected {kspace.ndim} different axes of {' '.join(known)}, the last two among them, got "
            f'"{axes}" for an array {kspace.shape}. It looks like --axes "{guess_axes(kspace.shape, is_path=is_path)}".'
        )
    present = [name for name in known if name in names]
    ordered = kspace.transpose([names.index(name) for name in present])
    return np.expand_dims(ordered, [number for number, name in enumerate(known) if name not in names])


def guess_axes(shape: tuple[int, ...], *, is_path: bool = False) -> str:
    """Name the axes of an array by its shape, for people to correct."""
    inner = ["readouts", "samples"] if is_path else ["ky", "kx"]
    outer = {0: [], 1: ["coil"], 2: ["slice", "coil"], 3: ["volume", "slice", "coil"]}.get(len(shape) - 2)
    if outer is None:
        return " ".join(["volume", "slice", "coil", *inner])
    last_is_coil = len(shape) > 2 and shape[-1] <= min(_MOST_COILS, min(shape[-3:-1]) // 2) and not is_path
    return " ".join([*outer[:-1], *inner, "coil"] if last_is_coil else [*outer, *inner])


def _along_path(
    path: Path, kspace: torch.Tensor, trajectory: np.ndarray, size: np.ndarray | None, volumes: int
) -> Acquisition:
    slices, _, readouts, samples = kspace.shape
    points = trajectory[None] if trajectory.ndim == 3 else trajectory
    if points.shape[1:] != (readouts, samples, 2) or len(points) not in {1, slices} or np.iscomplexobj(points):
        raise ShapeError(
            f"{path}: expected a trajectory ([{slices},] {readouts}, {samples}, 2) as k-space has it, got "
            f"{trajectory.shape}. Reorder it: ky and kx of every sample last."
        )
    if not np.abs(points).max() <= 0.5 + 1e-3:  # NaN is not
        raise DataError(
            f"{path}: expected a trajectory in cycles per pixel, -0.5 to 0.5, got {np.abs(points).max():.3g}. "
            f"Divide it by the matrix."
        )
    grid = (samples // 2, samples // 2) if size is None else tuple(int(n) for n in np.ravel(size))
    if len(grid) != 2 or not 0 < grid[0] * grid[1] < 4 * samples**2:
        raise ShapeError(f"{path}: expected image_size (y, x), got {grid}. Correct it.")
    assumed = f"no image_size in the file: {grid[0]} x {grid[1]}, half as many pixels as samples"
    return Acquisition(
        name=path.name,
        kspace=kspace,
        trajectory=torch.from_numpy(np.ascontiguousarray(points, dtype=np.float32)),
        image_size=(grid[0], grid[1]),
        volumes=volumes,
        notices=(assumed,) if size is None else (),
    )
