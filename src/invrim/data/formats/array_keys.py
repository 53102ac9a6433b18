"""Under which names arrays beside k-space say what it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from invrim.data.acquisition import Acquisition
from invrim.data.geometry import Geometry
from invrim.errors import DataError, ShapeError

KSPACES = ("kspace", "ksp", "kdata", "rawdata", "data")
"""Of k-space among several arrays, the surest first."""
TRAJECTORIES = ("traj", "trajectory", "coords")
IMAGE_SIZES = ("image_size", "matrix")
AXES, TARGET, NOISE, AFFINE, IS_ORIENTED, ATTRIBUTES, NOTICES = (
    "axes", "target", "noise", "affine", "is_oriented", "attributes", "notices",
)  # fmt: skip
"""What is read only of a file that names its own axes, for others may mean something else by these names."""


def first_of(arrays: Mapping[str, np.ndarray], names: Iterable[str]) -> np.ndarray | None:
    """The array under the first of the names that is there."""
    return next((arrays[name] for name in names if name in arrays), None)


def size_of(array: np.ndarray) -> tuple[int, int]:
    """Read an image's size ``(y, x)``.

    Raises
    ------
    ShapeError
        It is not two whole numbers above 0.
    """
    numbers = np.ravel(array)
    if numbers.dtype.kind not in "fiu" or len(numbers) != 2 or not all(n > 0 and n == np.floor(n) for n in numbers):
        raise ShapeError(
            f"expected an image_size of two whole numbers, (y, x), got {numbers[:4].tolist()}. Correct it."
        )
    return int(numbers[0]), int(numbers[1])


def details_of(acquisition: Acquisition, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What a file that names its own axes says beside k-space, as fields of the acquisition.

    Raises
    ------
    ShapeError, DataError
        A part does not fit k-space, or is no such thing.
    """
    found: dict[str, Any] = {}
    slices, coils, *_ = acquisition.kspace.shape
    if (size := first_of(arrays, IMAGE_SIZES)) is not None:
        found["image_size"] = _size_within(size_of(size), acquisition)
    if (target := arrays.get(TARGET)) is not None:
        _require(target, (slices, None, None), TARGET, kinds="fiu")
        found["target"] = torch.from_numpy(target.astype(np.float32))
    if (noise := arrays.get(NOISE)) is not None:
        _require(noise, (coils, None), NOISE, kinds="c")
        found["noise"] = torch.from_numpy(noise.astype(np.complex64))
    if (affine := arrays.get(AFFINE)) is not None:
        _require(affine, (4, 4), AFFINE, kinds="fiu")
        found["geometry"] = Geometry(
            affine=affine.astype(np.float64), is_oriented=bool(np.all(arrays.get(IS_ORIENTED, True)))
        )
    if NOTICES in arrays:
        found["notices"] = tuple(" ".join(str(notice).split()) for notice in np.ravel(arrays[NOTICES]))
    if (text := arrays.get(ATTRIBUTES)) is not None:
        found["attributes"] = {**_attributes(text), **acquisition.attributes}
    return found


def _size_within(size: tuple[int, int], acquisition: Acquisition) -> tuple[int, int]:
    grid = acquisition.image_size or acquisition.kspace.shape[-2:]
    if size[0] > grid[0] or size[1] > grid[1]:
        raise ShapeError(f"expected an image_size (y, x) of at most {tuple(grid)}, got {size}. Correct it.")
    return size


def _require(array: np.ndarray, shape: tuple[int | None, ...], name: str, kinds: str) -> None:
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits or array.dtype.kind not in kinds or not np.isfinite(array).all():
        wanted = str(shape).replace("None", "any")
        raise ShapeError(
            f"expected finite `{name}` of shape {wanted}, got {array.dtype} {array.shape}. Write the file again."
        )


def _attributes(text: np.ndarray) -> dict[str, str | int | float | bool]:
    try:
        content = json.loads(str(text))
        return {str(name): value for name, value in content.items() if isinstance(value, str | int | float | bool)}
    except (ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"expected `attributes` as a JSON object, got something else ({error}). Rewrite it.") from error
