"""Reconstruct whole files: a scan in, images, their record and whatever else is asked for out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invrim import __version__
from invrim.data.formats.bart import write_images
from invrim.data.formats.dicom import SUFFIX, write_series
from invrim.data.formats.fastmri import write_reconstruction
from invrim.data.formats.nifti import write_volume
from invrim.data.formats.opening import needs_axes, open_scan
from invrim.data.formats.pictures import write_picture
from invrim.data.header import Header
from invrim.data.orientation import upright
from invrim.data.scan import Scan
from invrim.files import make_folder, require_replaceable
from invrim.models import Solver
from invrim.models.baselines import ZeroFilled
from invrim.reconstruction.job import Job, require_separate_results
from invrim.reconstruction.passage import Part, Passage, read_parts
from invrim.reconstruction.record import record_of, write_record
from invrim.reconstruction.source import source_of

Progress = Callable[[int, int], None]
Maker = Mapping[str, Any]
"""As `invrim.reconstruction.record.maker_of`."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What is to be written of one scan."""

    header: Header
    images: Tensor
    """Float32 ``(slices, y, x)``."""
    zero_filled: Tensor | None
    record: dict[str, Any]


class Making:
    """The images of one scan, in the making.

    Parameters
    ----------
    model, scan, job
        As of `invrim.reconstruction.passage.Passage`.
    """

    def __init__(self, model: Solver, scan: Scan, job: Job) -> None:
        self._passage, self._job = Passage(model, scan, job), job
        self._beside = Passage(ZeroFilled(), scan, job) if "zero-filled" in job.also else None
        self._images: list[Tensor] = []
        self._zero_filled: list[Tensor] = []

    def add(self, part: Part) -> None:
        """Reconstruct the next part."""
        self._images.append(self._passage.images(part))
        if self._beside is not None:
            self._zero_filled.append(self._beside.images(part))

    def result(self, maker: Maker, source: Mapping[str, Any]) -> Result:
        """Join what was added, and say what made it."""
        images, passage, job = torch.cat(self._images), self._passage, self._job
        record = record_of(
            passage.model, passage.header, None if passage.header.slice_masks else passage.mask, images,
            maker=maker, source=source, also=job.also, acceleration=job.acceleration,
            maps=job.maps if passage.model.coil_maps else None, prewhitened=passage.prewhitened,
        )  # fmt: skip
        zero_filled = torch.cat(self._zero_filled) if self._zero_filled else None
        return Result(header=passage.header, images=images, zero_filled=zero_filled, record=record)


def reconstruct_file(
    model: Solver,
    path: Path,
    job: Job,
    on_progress: Progress | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Path:
    """Reconstruct one file and write ``job.out / NAME.h5`` with dataset ``reconstruction``.

    ``NAME.json`` beside it says what made it, see `invrim.reconstruction.record`. For many files see
    `invrim.reconstruction.archive`.

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
    scan = open_for(path, job)
    if on_notice is not None:
        for notice in scan.header.notices:
            on_notice(notice)
    making = Making(model, scan, job)
    for part in read_parts(scan, job, slab=model.ndim == 3):
        making.add(part)
        if on_progress is not None:
            on_progress(part.slices.stop, scan.header.slices)
    return write_result(path, job, making.result(job.maker(model), source_of(path)))


def open_for(path: Path, job: Job) -> Scan:
    """Open a raw file, once it is sure that its results have a place."""
    require_separate_results([path], job)
    outputs = job.outputs(path)
    if "dicom" in outputs:
        require_replaceable(outputs["dicom"], SUFFIX)
    return _open(path, job)


def _open(path: Path, job: Job) -> Scan:
    """Open a raw file; the axes of a job are for its arrays."""
    return open_scan(path, job.axes if needs_axes(path) else None)


def write_result(path: Path, job: Job, result: Result) -> Path:
    """Write what a job asks for, each file whole or not at all, the record last, and return the images' file."""
    outputs, images = job.outputs(path), result.images
    volumes = result.header.volumes
    known = result.header.geometry
    geometry = None if known is None else known.cropped(result.header.matrix, images.shape[-2:])
    make_folder(job.out)
    _write_images(outputs["images"], images, path)
    if result.zero_filled is not None:
        make_folder(outputs["zero-filled"].parent)
        _write_images(outputs["zero-filled"], result.zero_filled, path)
    if "nifti" in outputs:
        write_volume(outputs["nifti"], images, geometry, volumes)
    if "dicom" in outputs:
        write_series(
            outputs["dicom"], images, geometry, volumes,
            description=f"{path.stem} by invrim", software=f"invrim {__version__}",
        )  # fmt: skip
    if "cfl" in outputs:
        write_images(outputs["cfl"], images, volumes, is_volume=result.header.attributes.get("phase_encodes") == 2)
    if "png" in outputs:
        write_picture(outputs["png"], upright(images[len(images) // 2], geometry))
    write_record(outputs["record"], result.record)
    return outputs["images"]


def _write_images(out: Path, images: Tensor, path: Path) -> None:
    write_reconstruction(out, images, {"max": float(images.max()), "source": path.name})


def reconstruct_slices(
    model: Solver, path: Path, job: Job, on_progress: Progress | None = None
) -> tuple[Tensor, float]:
    """Open a file and `reconstruct_scan` it."""
    return reconstruct_scan(model, _open(path, job), job, on_progress)


def reconstruct_scan(model: Solver, scan: Scan, job: Job, on_progress: Progress | None = None) -> tuple[Tensor, float]:
    """Return the magnitudes of a scan's slices, float32 ``(slices, y, x)``, and their maximum.

    Slices have the size of the scan's target where it has one, else of its k-space. Computed where the model is,
    returned on the CPU.
    """
    passage = Passage(model, scan, job)
    done: list[Tensor] = []
    for part in read_parts(scan, job, slab=model.ndim == 3):
        done.append(passage.images(part))
        if on_progress is not None:
            on_progress(part.slices.stop, scan.header.slices)
    volume = torch.cat(done)
    return volume, float(volume.max())
