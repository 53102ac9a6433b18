"""From readouts in the order they were measured to one k-space per slice."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.data.geometry import Geometry
from invrim.data.readouts import Encoding, Readouts
from invrim.errors import DataError
from invrim.operators.fourier import fft_centred, ifft_centred

_MOST_EMPTY = 64
"""Times as large as what was measured may k-space be; a header that asks for more is wrong, or hostile."""
_READOUT, _PHASE, _SLICE = range(3)


def assemble(name: str, readouts: Readouts, encoding: Encoding) -> Acquisition:
    """Put every readout in its place.

    Averages of the same line are averaged. Lines that are missing, be it by acceleration, partial Fourier or loss,
    are not sampled. The readout's oversampling is removed; what was encoded beyond the field of view along the phase
    encodings is cropped from the images. Of a volume the readout is transformed back, see `invrim.data.volumes`.

    Parameters
    ----------
    name
        Of the file, with its suffix.
    readouts
        At least one.
    encoding
        Where they belong.

    Raises
    ------
    DataError
        Readouts lie outside the encoded matrix, or a trajectory is missing.
    """
    if not encoding.is_cartesian:
        return _along_trajectory(name, readouts, encoding)
    grid, count = _gridded(readouts, encoding)
    first, last = _measured_samples(readouts, encoding)
    kspace, sampled_readout = _without_oversampling(grid, (first, last), encoding)
    notices = _notices(readouts, encoding, count)
    images, coils, x, z, y = kspace.shape
    if z == 1:
        mask = _mask(count[:, 0] > 0, sampled_readout)
        kspace, size = kspace.reshape(images, coils, x, y), (x, encoding.image_size[_PHASE])
    else:
        mask = _points(count > 0, x)
        kspace = ifft_centred(kspace.movedim(2, -1), ndim=1).movedim(-1, 1).flatten(0, 1)
        size = (encoding.image_size[_SLICE], encoding.image_size[_PHASE])
    geometry, notice = _geometry(readouts, encoding, x, volume=z > 1)
    return Acquisition(
        name=name,
        kspace=kspace.contiguous(),
        mask=mask,
        attributes={**readouts.attributes, **({"phase_encodes": 2} if z > 1 else {})},
        image_size=size,
        geometry=geometry,
        # Slabs one beside the other are no stack of one readout: each is a volume.
        volumes=len(np.unique(readouts.volumes)) if z == 1 else images,
        noise=None if readouts.noise is None else torch.from_numpy(readouts.noise),
        notices=(*notices, *notice),
    )


def _gridded(readouts: Readouts, encoding: Encoding) -> tuple[Tensor, Tensor]:
    """K-space ``(images, coil, x, z, y)`` and how often each line was measured, ``(images, z, y)``."""
    x, y, z = encoding.matrix
    image, images = _images(readouts)
    line = readouts.steps - np.asarray(encoding.centre) + [y // 2, z // 2]
    outside = ((line < 0) | (line >= [y, z])).any(axis=1)
    if outside.any():
        raise DataError(
            f"expected encoding steps within a matrix of {y} x {z}, got {readouts.steps[outside][0].tolist()} with the "
            f"centre at {list(encoding.centre)}. The header contradicts the data: correct the encoding limits."
        )
    n, coils, samples = readouts.samples.shape
    if images * z * y * x > _MOST_EMPTY * n * samples:
        raise DataError(
            f"expected a matrix of the size of the data, got {images} x {z} x {y} x {x} (image, z, y, x) for {n} "
            f"readouts of {samples} samples. The header contradicts the data: correct it."
        )
    where = torch.from_numpy((image * z + line[:, 1]) * y + line[:, 0])
    first = x // 2 - readouts.centre
    inside = slice(max(0, -first), max(0, min(samples, x - first)))
    placed = torch.zeros(images * z * y, coils, x, dtype=torch.complex64)
    view = placed[..., max(0, first) : max(0, first) + inside.stop - inside.start]
    view.index_add_(0, where, torch.from_numpy(readouts.samples[..., inside]))
    count = torch.bincount(where, minlength=images * z * y)
    placed /= count.clamp_min(1)[:, None, None]
    return placed.reshape(images, z, y, coils, x).permute(0, 3, 4, 1, 2), count.reshape(images, z, y)


def images_of_readouts(
    slices: np.ndarray, volumes: np.ndarray, positions: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray, int]:
    """To which image of all each readout belongs: volume by volume, slices in the order of their places.

    Parameters
    ----------
    slices, volumes, positions
        As of `invrim.data.readouts.Readouts`.
    normals
        Their slice directions, ``(n, 3)``.
    """
    order = _order_of_slices(slices, positions, normals)
    _, slices = np.unique(slices, return_inverse=True)
    _, volumes = np.unique(volumes, return_inverse=True)
    return volumes * len(order) + order[slices], len(order) * int(volumes.max() + 1)


def _images(readouts: Readouts) -> tuple[np.ndarray, int]:
    normals = readouts.directions[:, _SLICE]
    return images_of_readouts(readouts.slices, readouts.volumes, readouts.positions, normals)


def _order_of_slices(slices: np.ndarray, positions: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Rank of every slice along the slice direction; where that is not known, by number."""
    _, first = np.unique(slices, return_index=True)
    along = (positions[first] * normals[first]).sum(axis=1)
    return np.argsort(np.argsort(along, kind="stable"), kind="stable")


def _measured_samples(readouts: Readouts, encoding: Encoding) -> tuple[int, int]:
    """First sample of the encoded readout that was measured, and the one after the last."""
    first = encoding.matrix[_READOUT] // 2 - readouts.centre
    return max(0, first), min(encoding.matrix[_READOUT], first + readouts.samples.shape[-1])


def _without_oversampling(
    kspace: Tensor, measured: tuple[int, int], encoding: Encoding
) -> tuple[Tensor, Tensor | None]:
    """Crop ``(images, coil, x, z, y)`` in the image along x.

    Also returns which of the samples that remain were measured, ``(x,)``; None if all.
    """
    before, after = encoding.matrix[_READOUT], encoding.image_size[_READOUT]
    if before != after:
        lines = ifft_centred(kspace.movedim(2, -1), ndim=1)
        # The middle stays the middle, of odd sizes too.
        kept = lines.narrow(-1, before // 2 - after // 2, after)
        kspace = fft_centred(kept, ndim=1).movedim(-1, 2)
    frequency = (torch.arange(after) - after // 2) / after
    low, high = ((edge - before // 2) / before for edge in (measured[0], measured[1] - 1))
    # The outermost samples of a full readout stay, though halving an even number moves them by half a sample.
    slack = 1 / before
    sampled = (frequency >= low - slack) & (frequency <= high + slack)
    return kspace, None if sampled.all() else sampled


def _mask(lines: Tensor, readout: Tensor | None) -> Tensor | None:
    """Of lines ``(images, y)`` or points ``(1, z, y)``: what `Acquisition.mask` wants."""
    common = lines[0] if (lines == lines[0]).all() else None
    if common is not None and readout is None:
        return None if common.all() else common
    if readout is None:
        return lines[:, None]
    points = readout[:, None] & lines[:, None]
    return points[0] if common is not None else points


def _points(points: Tensor, readout: int) -> Tensor | None:
    """Of points ``(images, z, y)`` of volumes: what `Acquisition.mask` wants, for every position along the readout."""
    if (points == points[:1]).all():
        return None if points.all() else points[0]
    return points.repeat_interleave(readout, dim=0)


def _notices(readouts: Readouts, encoding: Encoding, count: Tensor) -> tuple[str, ...]:
    """Say which lines are missing though the protocol does not leave any out, and which images altogether."""
    empty = int((count == 0).flatten(1).all(dim=1).sum())
    if empty:
        return (f"{empty} of {len(count)} images were not measured: they stay black",)
    if encoding.acceleration > 1:
        return ()
    steps = np.unique(readouts.steps, axis=0)
    span = np.prod(steps.max(axis=0) - steps.min(axis=0) + 1) * len(count)
    missing = int(span - (count > 0).sum())
    if not missing:
        return ()
    return (f"{missing} of {span} lines are missing, though the scan was not accelerated: treated as not sampled",)


def _geometry(
    readouts: Readouts, encoding: Encoding, x: int, *, volume: bool
) -> tuple[Geometry | None, tuple[str, ...]]:
    """Of the stack: x along the phase encoding, y along the readout; of a volume y along partitions, z the readout."""
    readout_mm, phase_mm, slice_mm = encoding.spacing
    spacing = (phase_mm, slice_mm, readout_mm) if volume else (phase_mm, readout_mm, slice_mm)
    if not all(0 < mm < np.inf for mm in spacing):
        return None, ("voxel sizes are not known",)
    _, first = np.unique(readouts.slices, return_index=True)
    directions = readouts.directions[first[0]].astype(np.float64)
    if not directions.any():
        return Geometry.of_spacing(spacing), ("position and orientation are not known: voxel sizes only",)
    position = readouts.positions[first].astype(np.float64)
    _, y, z = encoding.matrix
    try:
        if volume and len(first) > 1:
            raise DataError(f"expected one slab, got {len(first)}. Each of them is a volume of its own here.")
        if volume:
            along = (np.arange(x) - x // 2)[:, None] * readout_mm * directions[_READOUT]
            axes = directions[[_PHASE, _SLICE, _READOUT]]
            return Geometry.of_slices(position[0] + along, axes, spacing, (y, z)), ()
        if not np.allclose(readouts.directions[first], directions, atol=1e-3):
            raise DataError("expected parallel slices, got several orientations. Reconstruct them apart.")
        order = _order_of_slices(readouts.slices, readouts.positions, readouts.directions[:, _SLICE])
        centres = position[np.argsort(order)]
        return Geometry.of_slices(centres, directions[[_PHASE, _READOUT, _SLICE]], spacing, (y, x)), ()
    except DataError as error:
        return Geometry.of_spacing(spacing), (f"voxel sizes only, no position and orientation: {error}",)


def _along_trajectory(name: str, readouts: Readouts, encoding: Encoding) -> Acquisition:
    if readouts.trajectory is None:
        raise DataError("expected a trajectory, as the header announces one, got none. Store it beside the samples.")
    image, images = _images(readouts)
    order = np.argsort(image, kind="stable")
    each = np.bincount(image, minlength=images)
    if (each != each[0]).any():
        raise DataError(f"expected as many readouts in every image, got {np.unique(each).tolist()}. Leave some out.")
    coils, samples = readouts.samples.shape[1:]
    kspace = readouts.samples[order].reshape(images, -1, coils, samples).swapaxes(1, 2)
    trajectory = readouts.trajectory[order].reshape(images, -1, samples, 2).astype(np.float32)
    x, y, _ = encoding.image_size
    centred = Encoding(
        matrix=encoding.image_size, fov_mm=encoding.image_fov_mm,
        image_fov_mm=encoding.image_fov_mm, centre=encoding.centre, is_cartesian=False,
    )  # fmt: skip
    geometry, notice = _geometry(readouts, centred, x, volume=False)
    same = (trajectory == trajectory[:1]).all()
    return Acquisition(
        name=name,
        kspace=torch.from_numpy(np.ascontiguousarray(kspace)),
        attributes=readouts.attributes,
        trajectory=torch.from_numpy(trajectory[:1] if same else trajectory),
        image_size=(x, y),
        geometry=geometry,
        volumes=len(np.unique(readouts.volumes)),
        noise=None if readouts.noise is None else torch.from_numpy(readouts.noise),
        notices=notice,
    )
