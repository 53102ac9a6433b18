"""How files are reconstructed, and what becomes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invrim.data.coil_maps import require_method
from invrim.data.formats.dicom import require_pydicom
from invrim.data.masks import require_acceleration
from invrim.errors import OptionError
from invrim.files import require_separate
from invrim.models import Solver
from invrim.reconstruction.record import maker_of

BATCH = 4
SLAB = 32
"""Slices, of models in 2D and in 3D, where nothing else is asked for."""
ALSO = ("nifti", "dicom", "cfl", "png", "zero-filled")


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
    """Names of the axes of the arrays among raw files, which do not say it themselves."""
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

    def maker(self, model: Solver) -> dict[str, Any]:
        """Say what makes the images of all files alike, for their records; hashes the model's weights."""
        asked_for = {
            "acceleration": self.acceleration,
            "maps": self.maps if model.coil_maps else None,
            "prewhiten": self.prewhiten and model.coil_maps,
            "axes": self.axes,
            "slab": self.batch or SLAB if model.ndim == 3 else None,
        }
        return maker_of(model, weights=self.weights, asked_for=asked_for)


def require_separate_results(paths: Sequence[Path], job: Job) -> None:
    """Refuse raw files whose results would overwrite a raw file or each other."""
    require_separate([(path, out) for path in paths for out in job.outputs(path).values()])
