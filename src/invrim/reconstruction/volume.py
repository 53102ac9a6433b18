"""Reconstruct whole files, a few slices at a time, or slab by slab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from invrim.data.formats.bart import write_images
from invrim.data.formats.fastmri import write_reconstruction
from invrim.data.formats.nifti import write_volume
from invrim.data.formats.opening import open_scan
from invrim.data.formats.pictures import write_picture
from invrim.data.geometry import Geometry
from invrim.data.header import Header
from invrim.data.masks import require_acceleration
from invrim.data.orientation import upright
from invrim.data.scan import Scan
from invrim.data.slabs import slabs_of
from invrim.errors import OptionError, WeightsError
from invrim.files import make_folder, require_separate
from invrim.models import Solver, coils_in_words, reconstruct
from invrim.models.baselines import ZeroFilled
from invrim.operators import crop_centre
from invrim.reconstruction.prepare import fidelity_of, sampling_mask, undersampled

_BATCH = 4
_SLAB = 32
"""Slices, of models in 2D and in 3D, where nothing else is asked for."""
ALSO = ("nifti", "cfl", "png", "zero-filled")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """How files are reconstructed."""

    out: Path
    """Folder of the results."""
    acceleration: float | None = None
    """Undersample fully sampled files first, as an experiment."""
    batch: int | None = None
    """Slices at a time; of a model in 3D they are one slab. None: 4, and slabs of at most 32."""
    also: tuple[str, ...] = ()
    """Further results, of `ALSO`."""
    axes: str | None = None
    """Names of the axes of raw files that do not say it themselves, see `invrim.data.formats.opening.open_scan`."""

    def __post_init__(self) -> None:
        if unknown := set(self.also) - set(ALSO):
            raise OptionError(
                f"expected --also of {', '.join(ALSO)}, got {', '.join(sorted(unknown))}. Choose of these."
            )
        if self.batch is not None and self.batch < 1:
            raise OptionError(f"expected a batch of at least one slice, got {self.batch}. Raise it.")
        if self.acceleration is not None:
            require_acceleration(self.acceleration)

    def outputs(self, path: Path) -> dict[str, Path]:
        """Files that a raw file will become: the images under "images", the rest under their names in `ALSO`.

        BART's images are a second file too, "cfl header".
        """
        images = self.out / f"{path.stem}.h5"
        every = {
            "nifti": images.with_suffix(".nii.gz"),
            "cfl": images.with_suffix(".cfl"),
            "png": images.with_suffix(".png"),
            "zero-filled": self.out / "zero-filled" / images.name,
        }
        pair = {"cfl header": images.with_suffix(".hdr")} if "cfl" in self.also else {}
        return {"images": images, **{kind: every[kind] for kind in self.also}, **pair}


def require_separate_results(paths: Sequence[Path], job: Job) -> None:
    """Refuse raw files whose results would overwrite a raw file or each other."""
    require_separate([(path, out) for path in paths for out in job.outputs(path).values()])


def reconstruct_file(model: Solver, path: Path, job: Job, on_progress: Progress | None = None) -> Path:
    """Reconstruct one file and write ``job.out / NAME.h5`` with dataset ``reconstruction``.

    Parameters
    ----------
    model
        What makes complex images of ``model(fidelity)``, and magnitudes of those.
    path
        Raw file of any format that `invrim.data.formats.opening.open_scan` knows.
    job
        Where to, and how.
    on_progress
        Called with the slices done and their number.

    Returns
    -------
    The file written; it appears only when complete.

    Raises
    ------
    OptionError
        A result would overwrite the raw file.
    """
    require_separate_results([path], job)
    outputs = job.outputs(path)
    scan = open_scan(path, job.axes)
    images, maximum = reconstruct_scan(model, scan, job, on_progress)
    make_folder(job.out)
    write_reconstruction(outputs["images"], images, {"max": maximum, "source": path.name})
    if "zero-filled" in outputs:
        zero_filled, maximum = reconstruct_scan(ZeroFilled(), scan, job)
        make_folder(outputs["zero-filled"].parent)
        write_reconstruction(outputs["zero-filled"], zero_filled, {"max": maximum, "source": path.name})
    geometry = _geometry(scan.header, images)
    if "nifti" in outputs:
        write_volume(outputs["nifti"], images, geometry, scan.header.volumes)
    if "cfl" in outputs:
        is_volume = scan.header.attributes.get("phase_encodes") == 2
        write_images(outputs["cfl"], images, scan.header.volumes, is_volume=is_volume)
    if "png" in outputs:
        write_picture(outputs["png"], upright(images[len(images) // 2], geometry))
    return outputs["images"]


def reconstruct_slices(
    model: Solver, path: Path, job: Job, on_progress: Progress | None = None
) -> tuple[Tensor, float]:
    """Open a file and `reconstruct_scan` it."""
    return reconstruct_scan(model, open_scan(path, job.axes), job, on_progress)


@torch.no_grad()
def reconstruct_scan(model: Solver, scan: Scan, job: Job, on_progress: Progress | None = None) -> tuple[Tensor, float]:
    """Return the magnitudes of a scan's slices, float32 ``(slices, y, x)``, and their maximum.

    Slices have the size of the scan's target where it has one, else of its k-space. Computed where the model is,
    returned on the CPU.
    """
    header = scan.header
    mask = sampling_mask(header, job.acceleration)
    coil_maps = _takes_coil_maps(model, header)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    slab = model.ndim == 3
    done: list[Tensor] = []
    # Slices along trajectories may each have one of their own.
    batch = job.batch if header.is_cartesian else 1
    for chosen in _parts(header.slices, batch, slab=slab):
        acquisition = undersampled(scan.read(chosen), mask)
        fidelity = fidelity_of(acquisition, coil_maps=coil_maps, slab=slab).to(device)
        metadata = header.protocol.to(device).expand(1 if slab else len(acquisition.kspace), -1)
        images = model.magnitude(fidelity, reconstruct(model, fidelity, metadata)).float().cpu()
        done.append(crop_centre(images[0] if slab else images, header.image_size))
        if on_progress is not None:
            on_progress(chosen.stop, header.slices)
    volume = torch.cat(done)
    return volume, float(volume.max())


def _geometry(header: Header, images: Tensor) -> Geometry | None:
    known = header.geometry
    return None if known is None else known.cropped(header.matrix, images.shape[-2:])


def _parts(slices: int, batch: int | None, *, slab: bool) -> list[slice]:
    """Which slices are reconstructed together: slabs as in validation, of about equal size."""
    if slab:
        return [slice(first, first + count) for first, count in slabs_of(slices, batch or _SLAB)]
    batch = batch or _BATCH
    return [slice(first, min(first + batch, slices)) for first in range(0, slices, batch)]


def _takes_coil_maps(model: Solver, header: Header) -> bool:
    """Whether the model wants coil maps; refuse files with another number of coils than one without them is for."""
    if model.coil_maps:
        return True
    if header.coils != model.images:
        raise WeightsError(
            f"{header.name}: expected {coils_in_words(model.images)}, for which these weights were trained, got "
            f"{header.coils}. Use weights with coil maps (SENSE), which take any number of coils."
        )
    return False
