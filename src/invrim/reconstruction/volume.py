"""Reconstruct whole files, a few slices at a time, or slab by slab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from invrim import __version__
from invrim.data.coil_maps import require_method
from invrim.data.formats.bart import write_images
from invrim.data.formats.dicom import SUFFIX, require_pydicom, write_series
from invrim.data.formats.fastmri import write_reconstruction
from invrim.data.formats.nifti import write_volume
from invrim.data.formats.opening import open_scan
from invrim.data.formats.pictures import write_picture
from invrim.data.geometry import Geometry
from invrim.data.header import Header
from invrim.data.masks import require_acceleration
from invrim.data.orientation import upright
from invrim.data.prewhitening import prewhitened, scaled_whitening_matrix
from invrim.data.scan import Scan
from invrim.data.slabs import slabs_of
from invrim.errors import OptionError, WeightsError, about
from invrim.files import make_folder, require_replaceable, require_separate
from invrim.models import Solver, coils_in_words, reconstruct
from invrim.models.baselines import ZeroFilled
from invrim.operators import crop_centre
from invrim.reconstruction.prepare import fidelity_of, sampling_mask, undersampled
from invrim.reconstruction.record import record_of, write_record

_BATCH = 4
_SLAB = 32
"""Slices, of models in 2D and in 3D, where nothing else is asked for."""
ALSO = ("nifti", "dicom", "cfl", "png", "zero-filled")
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
    weights: str | None = None
    """Name of the model's weights, for the record beside the images."""
    axes: str | None = None
    """Names of the axes of raw files that do not say it themselves, see `invrim.data.formats.opening.open_scan`."""
    maps: str = "calibration"
    """How coil maps are estimated, of `invrim.data.coil_maps.METHODS`."""
    prewhiten: bool = True
    """Make the coils' noise equal and independent where the file holds a noise scan, and the model takes coil maps."""

    def __post_init__(self) -> None:
        if unknown := set(self.also) - set(ALSO):
            raise OptionError(
                f"expected --also of {', '.join(ALSO)}, got {', '.join(sorted(unknown))}. Choose of these."
            )
        require_method(self.maps)
        if self.batch is not None and self.batch < 1:
            raise OptionError(f"expected a batch of at least one slice, got {self.batch}. Raise it.")
        if self.acceleration is not None:
            require_acceleration(self.acceleration)
        if "dicom" in self.also:
            require_pydicom()

    def outputs(self, path: Path) -> dict[str, Path]:
        """Files and folders that a raw file will become: "images", "record", and `ALSO` by their names.

        BART's images are two files, the second under "cfl header".
        """
        images = self.out / f"{path.stem}.h5"
        every = {
            "nifti": images.with_suffix(".nii.gz"),
            "dicom": self.out / f"{path.stem}-dicom",
            "cfl": images.with_suffix(".cfl"),
            "png": images.with_suffix(".png"),
            "zero-filled": self.out / "zero-filled" / images.name,
        }
        further = {kind: every[kind] for kind in self.also}
        if "cfl" in further:
            further["cfl header"] = images.with_suffix(".hdr")
        return {"images": images, "record": images.with_suffix(".json"), **further}


def require_separate_results(paths: Sequence[Path], job: Job) -> None:
    """Refuse raw files whose results would overwrite a raw file or each other."""
    require_separate([(path, out) for path in paths for out in job.outputs(path).values()])


def reconstruct_file(
    model: Solver,
    path: Path,
    job: Job,
    on_progress: Progress | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Path:
    """Reconstruct one file and write ``job.out / NAME.h5`` with dataset ``reconstruction``.

    ``NAME.json`` beside it says what made it, see `invrim.reconstruction.record`.

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
    on_notice
        Called with every notice of the reader, before anything is computed.

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
    if "dicom" in outputs:
        require_replaceable(outputs["dicom"], SUFFIX)
    scan = open_scan(path, job.axes)
    if on_notice is not None:
        for notice in scan.header.notices:
            on_notice(notice)
    images, maximum = reconstruct_scan(model, scan, job, on_progress)
    make_folder(job.out)
    write_reconstruction(outputs["images"], images, {"max": maximum, "source": path.name})
    # Of slices with masks of their own none is that of the file.
    mask = None if scan.header.slice_masks else sampling_mask(scan.header, job.acceleration)
    record = record_of(
        model, scan.header, mask, images, weights=job.weights, acceleration=job.acceleration,
        maps=job.maps if model.coil_maps else None, prewhitened=_prewhitens(model, scan, job),
    )  # fmt: skip
    write_record(outputs["record"], record)
    if "zero-filled" in outputs:
        zero_filled, maximum = reconstruct_scan(ZeroFilled(), scan, job)
        make_folder(outputs["zero-filled"].parent)
        write_reconstruction(outputs["zero-filled"], zero_filled, {"max": maximum, "source": path.name})
    geometry = _geometry(scan.header, images)
    if "nifti" in outputs:
        write_volume(outputs["nifti"], images, geometry, scan.header.volumes)
    if "dicom" in outputs:
        write_series(
            outputs["dicom"], images, geometry, scan.header.volumes,
            description=f"{path.stem} by invrim", software=f"invrim {__version__}",
        )  # fmt: skip
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
    batch = 1 if header.slice_trajectories else job.batch
    whitening = _whitening(scan) if _prewhitens(model, scan, job) else None
    for chosen in _parts(header.slices, batch, slab=slab):
        acquisition = undersampled(scan.read(chosen), mask)
        if whitening is not None:
            acquisition = prewhitened(acquisition, whitening)
        fidelity = fidelity_of(acquisition, coil_maps=coil_maps, slab=slab, maps=job.maps).to(device)
        metadata = header.protocol.to(device).expand(1 if slab else len(acquisition.kspace), -1)
        images = model.magnitude(fidelity, reconstruct(model, fidelity, metadata)).float().cpu()
        done.append(crop_centre(images[0] if slab else images, header.image_size))
        if on_progress is not None:
            on_progress(chosen.stop, header.slices)
    volume = torch.cat(done)
    return volume, float(volume.max())


def _prewhitens(model: Solver, scan: Scan, job: Job) -> bool:
    """Whether there is noise to whiten, and the model takes any mixture of coils."""
    return job.prewhiten and model.coil_maps and scan.header.coils > 1 and scan.noise is not None


def _whitening(scan: Scan) -> Tensor | None:
    """Matrix that whitens the scan, once for all of its slices; None where nothing is known of its noise."""
    if scan.noise is None:
        return None
    with about(scan.header.name):
        return scaled_whitening_matrix(scan.noise)


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
