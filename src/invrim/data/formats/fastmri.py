"""Read and write acquisitions in the HDF5 schema of the fastMRI data set.

`kspace` complex64 is ``(slices, ky, kx)`` for one coil and ``(slices, coil, ky, kx)`` for several; the image to
recover is `reconstruction_esc` or `reconstruction_rss`; `mask` ``(kx,)`` is there when lines were left out. A volume
with two phase encodings has its readout, transformed back, along the slices, the attribute `phase_encodes` of 2, and a
mask ``(ky, kx)``; the schema itself knows no such volumes. `truth_NAME` holds what a simulation knows, the group
`invrim` what scans of other formats have beside. This module is the door: headers and images are read by its
neighbours.
"""

from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.data.formats.fastmri_extras import read_extras, read_masks, write_extras
from invrim.data.formats.fastmri_header import header_of, read_header
from invrim.data.formats.hdf5 import dataset, open_read, open_write
from invrim.data.formats.reconstructions import read_reconstruction, read_target, write_reconstruction
from invrim.data.header import Header
from invrim.data.scan import common_mask
from invrim.errors import DataError, ShapeError

__all__ = [
    "FastMRIScan",
    "Header",
    "kspace_slices",
    "read_acquisition",
    "read_header",
    "read_reconstruction",
    "read_target",
    "read_truth",
    "write_acquisition",
    "write_reconstruction",
]

_TRUTH = "truth_"


class FastMRIScan:
    """A file in the schema, read slice by slice; see `invrim.data.scan.Scan`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header = read_header(path)

    @property
    def noise(self) -> Tensor | None:
        with open_read(self.path) as file:
            return read_extras(file, self.header.slices).noise

    def read(self, slices: slice | None = None) -> Acquisition:
        return read_acquisition(self.path, slices)


def read_acquisition(path: Path, slices: slice | None = None) -> Acquisition:
    """Load a file, or only some of its slices, into memory.

    Parameters
    ----------
    path
        File in the fastMRI schema; complex128 is read as complex64.
    slices
        Which slices, e.g. ``slice(0, 8)``; None for all.

    Raises
    ------
    FileError
        The file is missing, damaged, or has no `kspace`.
    DataError
        Wrong axes or type, NaN or Inf in k-space, or a mask of the wrong length.
    """
    chosen = slices or slice(None)
    with open_read(path) as file:
        header = header_of(file)
        target = dataset(file, header.target_name)[chosen] if header.target_name else None
        masks = read_masks(file, dataset(file, "kspace"), chosen)
        extras = read_extras(file, header.slices)
        return Acquisition(
            name=header.name,
            kspace=kspace_slices(file, chosen),
            mask=header.mask if masks is None else masks,
            target=None if target is None else torch.from_numpy(target.astype(np.float32)),
            attributes=header.attributes,
            image_size=extras.image_size,
            geometry=header.geometry,
            volumes=header.volumes,
            noise=extras.noise,
            notices=header.notices,
        )


def kspace_slices(file: h5py.File, chosen: slice) -> Tensor:
    """Load k-space of an open file, complex64 ``(slices, coil, ky, kx)``, and refuse NaN and Inf."""
    stored = dataset(file, "kspace")
    array = stored[chosen].astype(np.complex64, copy=False)
    kspace = torch.from_numpy(array if array.ndim == 4 else array[:, None])
    bad = ~torch.isfinite(torch.view_as_real(kspace)).flatten(1).all(dim=1)
    if bad.any():
        index = range(*chosen.indices(stored.shape[0]))[int(bad.nonzero()[0])]
        raise DataError(
            f"{file.filename}: expected finite k-space, got NaN or Inf in slice {index}. "
            f"Leave the slice out or set its bad samples to zero."
        )
    return kspace


def read_truth(path: Path) -> dict[str, Tensor]:
    """What a simulation knows beyond the measurement, by name; empty for a real scan."""
    with open_read(path) as file:
        names = [name for name in file if name.startswith(_TRUTH)]
        return {name.removeprefix(_TRUTH): torch.from_numpy(dataset(file, name)[()]) for name in names}


def write_acquisition(path: Path, acquisition: Acquisition) -> None:
    """Write an acquisition and its truth; the file appears only when complete.

    Nothing is lost but the name, which is the file's. Where slices have masks of their own, `mask` says what was
    measured in any of them.

    Raises
    ------
    ShapeError
        The parts do not fit together.
    DataError
        It was measured along a trajectory, which the schema has no place for.
    FileError
        The file cannot be written.
    """
    _require_consistent(acquisition)
    kspace, target = acquisition.kspace, acquisition.target
    single = kspace.shape[1] == 1
    with open_write(path) as file:
        file["kspace"] = (kspace[:, 0] if single else kspace).cpu().numpy()
        mask = common_mask(acquisition.mask)
        if mask is not None:
            file["mask"] = mask.cpu().numpy().astype(np.uint8)
        if target is not None:
            file["reconstruction_esc" if single else "reconstruction_rss"] = target.cpu().numpy()
            file.attrs["max"] = float(target.max())
        for name, value in acquisition.truth.items():
            file[_TRUTH + name] = value.cpu().numpy()
        file.attrs.update(acquisition.attributes)
        write_extras(file, acquisition)


def _require_consistent(acquisition: Acquisition) -> None:
    kspace, mask, target = acquisition.kspace, acquisition.mask, acquisition.target
    if acquisition.trajectory is not None:
        raise DataError(
            f"{acquisition.name}: expected a Cartesian scan to write in the fastMRI schema, got one along a "
            f"trajectory. Reconstruct the file as it is."
        )
    if kspace.ndim != 4 or kspace.dtype != torch.complex64:
        raise ShapeError(
            f"expected complex64 k-space (slices, coil, ky, kx), got {kspace.dtype} of shape {tuple(kspace.shape)}. "
            f"Convert it; one coil keeps its axis."
        )
    n, ky, kx = len(kspace), *kspace.shape[-2:]
    if mask is not None and mask.shape not in ((kx,), (ky, kx), (n, 1, kx), (n, ky, kx)):
        raise ShapeError(
            f"expected a mask of {kspace.shape[-1]} lines (the last axis of k-space) or of {tuple(kspace.shape[-2:])} "
            f"points, got shape {tuple(mask.shape)}. Give one value per phase-encoding line or point."
        )
    if target is not None and (target.ndim != 3 or len(target) != len(kspace)):
        raise ShapeError(
            f"expected a target (slices, y, x) of {len(kspace)} slices, got shape {tuple(target.shape)}. "
            f"Give one image per slice of k-space."
        )
