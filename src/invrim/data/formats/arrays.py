"""Read k-space from plain arrays, ``.npy``, ``.npz`` and ``.mat``, whose axes somebody has to name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from invrim.data.acquisition import Acquisition
from invrim.data.formats.array_files import load_arrays
from invrim.data.formats.array_keys import AXES, IMAGE_SIZES, KSPACES, TRAJECTORIES, details_of, first_of, size_of
from invrim.data.zero_filled import acquisition_of_grid
from invrim.errors import DataError, OptionError, ShapeError, about

GRID = ("volume", "slice", "coil", "kz", "ky", "kx")
PATH = ("volume", "slice", "coil", "readouts", "samples")
"""Axes of k-space on a grid, and along a trajectory, in the order that they are brought into."""
_MOST_COILS = 128
_BEYOND = 1e-3
"""Of 0.5 cycles per pixel, by which a trajectory may miss it through rounding."""


def read(path: Path, axes: str | None) -> Acquisition:
    """Read k-space, and a trajectory if there is one.

    Among several arrays k-space is named ``kspace``, ``ksp``, ``kdata``, ``rawdata`` or ``data``, or is the only
    complex one. What was not measured is zero. A trajectory is named ``traj``, ``trajectory`` or ``coords``, with axes
    ``([slice,] readouts, samples, 2)``, ``(ky, kx)`` last, in cycles per pixel, -0.5 to 0.5. Its grid is ``image_size``
    or ``matrix``, ``(y, x)``, else half as many pixels as samples, whose readouts are usually twice as dense as needed.
    An array of text named ``axes`` names the axes; such a file is read as `invrim.data.formats.archives` writes it.

    Parameters
    ----------
    path
        ``.npy``, ``.npz`` or ``.mat``.
    axes
        Names of k-space's axes, of ``volume slice coil kz ky kx`` or ``volume slice coil readouts samples``: on a grid
        ky is the readout, kx the phase encoding; with kz, that is the readout, and ky and kx are two phase encodings.

    Raises
    ------
    OptionError
        Without axes, with a guess to paste; or axes that do not fit the array.
    FileError
        The file is damaged.
    DataError
        No k-space, NaN or Inf, or gaps along the readout.
    """
    arrays = load_arrays(path)
    with about(path.name):
        kspace = arrays[_kspace_name(arrays)]
        own = " ".join(map(str, np.ravel(arrays[AXES]))) if AXES in arrays else None
        trajectory = first_of(arrays, TRAJECTORIES)
        ordered = _ordered(path, kspace, axes or own, is_path=trajectory is not None)
        with np.errstate(over="ignore"):  # becomes Inf, which is refused
            stack = torch.from_numpy(np.ascontiguousarray(ordered, dtype=np.complex64))
        if trajectory is None:
            acquisition = acquisition_of_grid(path.name, stack)
        else:
            acquisition = _along_path(path.name, stack, trajectory, first_of(arrays, IMAGE_SIZES))
        return acquisition if own is None else replace(acquisition, **details_of(acquisition, arrays))


def _kspace_name(arrays: dict[str, np.ndarray]) -> str:
    complex_ones = [name for name, array in arrays.items() if np.iscomplexobj(array)]
    named = [name for name in KSPACES if name in complex_ones]
    if named or len(complex_ones) == 1:
        return named[0] if named else complex_ones[0]
    found = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in sorted(arrays.items())) or "nothing"
    raise DataError(f"expected complex k-space, of several arrays one named `kspace`, got {found}. Rename it.")


def _ordered(path: Path, kspace: np.ndarray, axes: str | None, *, is_path: bool) -> np.ndarray:
    """Bring the axes into the order of `GRID` or `PATH`; those that are missing have the size 1."""
    known = PATH if is_path else GRID
    if not 2 <= kspace.ndim <= len(known):
        raise DataError(f"expected k-space of 2 to {len(known)} axes, got {kspace.shape}. Reshape it.")
    guess = f'It looks like --axes "{guess_axes(kspace.shape, is_path=is_path)}".'
    if axes is None:
        raise OptionError(
            f"{path}: expected --axes, the names of the axes of an array {kspace.shape}, got none. {guess}"
        )
    names = axes.split()
    if not is_path and set(PATH[-2:]) & set(names):
        raise OptionError(
            f'{path}: expected a trajectory, an array named {" or ".join(TRAJECTORIES)}, beside k-space for "{axes}", '
            f"got none. Store both in one .npz or .mat file."
        )
    fit = set(names) <= set(known) and set(known[-2:]) <= set(names) and len(set(names)) == len(names) == kspace.ndim
    if not fit:
        raise OptionError(
            f"{path}: expected {kspace.ndim} different axes of {' '.join(known)}, {' and '.join(known[-2:])} among "
            f'them, for an array {kspace.shape}, got "{axes}". {guess}'
        )
    present = [name for name in known if name in names]
    ordered = kspace.transpose([names.index(name) for name in present])
    return np.expand_dims(ordered, [number for number, name in enumerate(known) if name not in names])


def guess_axes(shape: tuple[int, ...], *, is_path: bool = False) -> str:
    """Name the axes of an array by its shape, for people to correct."""
    known, inner = (PATH, ["readouts", "samples"]) if is_path else (GRID, ["ky", "kx"])
    outer = {0: [], 1: ["coil"], 2: ["slice", "coil"], 3: ["volume", "slice", "coil"]}.get(len(shape) - 2)
    if outer is None:
        return " ".join(known)
    last_is_coil = len(shape) > 2 and shape[-1] <= min(_MOST_COILS, min(shape[-3:-1]) // 2) and not is_path
    return " ".join([*outer[:-1], *inner, "coil"] if last_is_coil else [*outer, *inner])


def _along_path(name: str, stack: torch.Tensor, trajectory: np.ndarray, size: np.ndarray | None) -> Acquisition:
    volumes, kspace = len(stack), stack.flatten(0, 1)
    slices, _, readouts, samples = kspace.shape
    points = trajectory[None] if trajectory.ndim == 3 else trajectory
    is_real = points.dtype.kind in "fiu"
    if not is_real or points.shape[1:] != (readouts, samples, 2) or len(points) not in {1, slices}:
        raise ShapeError(
            f"expected a trajectory ([{slices},] {readouts}, {samples}, 2), real, as k-space has it, got "
            f"{trajectory.dtype} {trajectory.shape}. Correct the order of the axes, or of the trajectory: ky and kx of "
            f"every sample are its last axis."
        )
    if not kspace.numel() or not torch.isfinite(torch.view_as_real(kspace)).all():
        raise DataError("expected finite k-space, got NaN, Inf or no samples. Set bad samples to zero.")
    if not np.abs(points).max() <= 0.5 + _BEYOND:  # NaN is not
        raise DataError(
            f"expected a trajectory in cycles per pixel, -0.5 to 0.5, got {np.abs(points).max():.3g}. "
            f"Divide it by the matrix."
        )
    half = samples // 2
    grid = (half, half) if size is None else size_of(size)
    if not 0 < grid[0] * grid[1] <= 4 * samples**2:
        raise ShapeError(f"expected an image_size (y, x) for {samples} samples, got {grid}. Correct it.")
    assumed = f"no image_size in the file: {half} x {half}, half as many pixels as samples"
    return Acquisition(
        name=name,
        kspace=kspace,
        trajectory=torch.from_numpy(np.ascontiguousarray(points.clip(-0.5, 0.5), dtype=np.float32)),
        image_size=grid,
        volumes=volumes,
        notices=(assumed,) if size is None else (),
    )
