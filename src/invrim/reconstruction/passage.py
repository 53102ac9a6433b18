"""One scan on its way through a model, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from invrim.data.acquisition import Acquisition
from invrim.data.header import Header
from invrim.data.prewhitening import prewhitened, scaled_whitening_matrix
from invrim.data.scan import Scan
from invrim.data.slabs import slabs_of
from invrim.errors import WeightsError, about
from invrim.models import Solver, coils_in_words, reconstruct
from invrim.operators import crop_centre
from invrim.reconstruction.job import BATCH, SLAB, Job
from invrim.reconstruction.prepare import fidelity_of, sampling_mask, undersampled


@dataclass(frozen=True)
class Part:
    """Slices that are reconstructed together, as they were measured."""

    slices: slice
    acquisition: Acquisition


def read_parts(scan: Scan, job: Job, *, slab: bool) -> Iterator[Part]:
    """Read a scan in the parts that a model takes it in: a few slices, or a slab as in validation."""
    batch = 1 if scan.header.slice_trajectories else job.batch
    for chosen in parts_of(scan.header.slices, batch, slab=slab):
        yield Part(chosen, scan.read(chosen))


def parts_of(slices: int, batch: int | None, *, slab: bool) -> list[slice]:
    """Which slices are reconstructed together; slabs are of about equal size."""
    if slab:
        return [slice(first, first + count) for first, count in slabs_of(slices, batch or SLAB)]
    batch = batch or BATCH
    return [slice(first, min(first + batch, slices)) for first in range(0, slices, batch)]


class Passage:
    """What is the same for all parts of a scan: its mask, its whitening, where the model is.

    Parameters
    ----------
    model
        What makes complex images of ``model(fidelity)``, and magnitudes of those.
    scan
        Opened.
    job
        How.

    Raises
    ------
    OptionError, WeightsError
        The scan is none for the job, or for the model.
    """

    def __init__(self, model: Solver, scan: Scan, job: Job) -> None:
        self.model, self.header, self.job = model, scan.header, job
        self.mask = sampling_mask(scan.header, job.acceleration)
        _require_coils(model, scan.header)
        whitens = job.prewhiten and model.coil_maps and scan.header.coils > 1
        self._whitening = _whitening(scan) if whitens else None
        self._device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))

    @property
    def prewhitened(self) -> bool:
        """Whether there is noise to whiten, and the model takes any mixture of coils."""
        return self._whitening is not None

    @torch.no_grad()
    def images(self, part: Part) -> Tensor:
        """Reconstruct a part: magnitudes, float32 ``(n, y, x)``, on the CPU."""
        model, slab = self.model, self.model.ndim == 3
        acquisition = undersampled(part.acquisition, self.mask)
        if self._whitening is not None:
            acquisition = prewhitened(acquisition, self._whitening)
        fidelity = fidelity_of(acquisition, coil_maps=model.coil_maps, slab=slab, maps=self.job.maps).to(self._device)
        metadata = self.header.protocol.to(self._device).expand(1 if slab else len(acquisition.kspace), -1)
        images = model.magnitude(fidelity, reconstruct(model, fidelity, metadata)).float().cpu()
        return crop_centre(images[0] if slab else images, self.header.image_size)


def _whitening(scan: Scan) -> Tensor | None:
    """Matrix that whitens the scan, once for all of its slices; None where nothing is known of its noise."""
    noise = scan.noise
    if noise is None:
        return None
    with about(scan.header.name):
        return scaled_whitening_matrix(noise)


def _require_coils(model: Solver, header: Header) -> None:
    """Refuse files with another number of coils than a model without coil maps is for."""
    if not model.coil_maps and header.coils != model.images:
        raise WeightsError(
            f"{header.name}: expected {coils_in_words(model.images)}, for which these weights were trained, got "
            f"{header.coils}. Use weights with coil maps (SENSE), which take any number of coils."
        )
