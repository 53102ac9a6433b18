"""What a measurement is answered with: learned images, or conventional ones and why."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import ismrmrd
import numpy as np

from invrim.data.acquisition import Acquisition
from invrim.data.formats.ismrmrd import Plan, assembled, count_images, image_readouts, plan_of
from invrim.data.prewhitening import scaled_whitening_matrix
from invrim.data.scan import LoadedScan
from invrim.errors import DataError, InvrimError
from invrim.models import Solver
from invrim.reconstruction import Job, reconstruct_scan
from invrim.serving.conventional import plan_without_header, root_sum_of_squares, usable
from invrim.serving.images import Series, images_of
from invrim.serving.measurement import Measurement

_log = logging.getLogger(__name__)
_NAME = "stream.mrd"
"""In errors, and where the name of a file would be."""
_COMPLEX = 8


@dataclass(frozen=True, kw_only=True)
class Service:
    """What clients are served with."""

    model: Solver
    name: str
    """Of the model, for people."""
    max_size: int
    """Bytes of k-space that a header may ask for."""

    def answer(self, measurement: Measurement) -> Answer:
        """Reconstruct by the model; if anything at all is in the way, conventionally.

        Never raises because of what was received, or because of the model.
        """
        try:
            if measurement.broken is not None:
                raise measurement.broken
            return self._learned(measurement)
        except Exception as error:  # whatever it is, the scanner waits for an image
            why = _in_words(error)
        try:
            return self._conventional(measurement, why)
        except Exception as error:
            texts = (f"No image by {self.name}: {why}", f"No conventional image either: {_in_words(error)}")
            return Answer(texts=texts)

    def _learned(self, measurement: Measurement) -> Answer:
        table = measurement.table()
        plan = plan_of(measurement.xml, table["head"])
        acquisition = _with_usable_noise(self._assembled(plan, table))
        stack, _ = reconstruct_scan(self.model, LoadedScan(acquisition), Job(out=Path()))
        if not stack.isfinite().all():
            raise DataError("expected finite images of the model, got NaN or Inf. Check the weights and the samples.")
        series = Series(description=f"invrim {self.name}")
        return Answer(images=tuple(images_of(stack, plan, table["head"], series)), texts=acquisition.notices)

    def _conventional(self, measurement: Measurement, why: str) -> Answer:
        table = usable(measurement.table())
        no_header = ""
        try:
            plan = plan_of(measurement.xml, table["head"])
            acquisition = self._assembled(plan, table)
        except Exception as error:
            no_header, plan = _in_words(error), plan_without_header(table["head"])
            acquisition = self._assembled(plan, table)
        stack = root_sum_of_squares(acquisition)
        series = Series(
            description="root sum of squares", comments=f"not by {self.name}: {why}", sizes_known=not no_header
        )
        texts = [f"No image by {self.name}, but the root sum of squares: {why}"]
        received = int(image_readouts(measurement.table()["head"]).sum())
        if len(table) < received:
            texts.append(f"{received - len(table)} of {received} readouts were left out.")
        if no_header:
            reason = "" if no_header == why else f": {no_header}"
            texts.append(f"Lines were placed by their counters alone, and the field of view is given as 0{reason}")
        images = images_of(stack, plan, table["head"], series)
        return Answer(images=tuple(images), texts=(*texts, *acquisition.notices), is_learned=False)

    def _assembled(self, plan: Plan, table: np.ndarray) -> Acquisition:
        """Assemble, unless the k-space would be larger than allowed."""
        images, coils = count_images(plan, table["head"]), int(table["head"]["active_channels"][plan.chosen].max())
        size = _COMPLEX * images * coils * int(np.prod(plan.encoding.matrix, dtype=object))
        if size > self.max_size:
            raise DataError(
                f"expected k-space of at most {self.max_size:,} bytes, got {size:,} for {images} images of "
                f"{' x '.join(map(str, plan.encoding.matrix))}. Raise --max-size, or correct the header."
            )
        return assembled(_NAME, plan, table)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the client gets."""

    images: tuple[ismrmrd.Image, ...] = ()
    texts: tuple[str, ...] = ()
    """For the operator, before the images."""
    is_learned: bool = True


def _with_usable_noise(acquisition: Acquisition) -> Acquisition:
    """Forget noise that cannot prewhiten, and say so."""
    if acquisition.noise is None:
        return acquisition
    try:
        scaled_whitening_matrix(acquisition.noise)
    except DataError as error:
        notice = f"Coils were not prewhitened: {_in_words(error)}"
        return replace(acquisition, noise=None, notices=(*acquisition.notices, notice))
    return acquisition


def _in_words(error: Exception) -> str:
    """One line of what happened; of errors that nobody foresaw the log has the rest."""
    text = " ".join(str(error).split())
    if isinstance(error, InvrimError):
        return text
    _log.error("an error that was not foreseen", exc_info=error)
    return f"{type(error).__name__}: {text}"
