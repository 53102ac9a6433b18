"""What a reconstruction was made of and by, in a JSON file beside it."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invrim import __version__
from invrim.data.header import Header
from invrim.files import atomic_write
from invrim.models import Solver, fingerprint


def record_of(
    model: Solver,
    header: Header,
    mask: Tensor | None,
    images: Tensor,
    *,
    weights: str | None,
    acceleration: float | None,
    maps: str | None,
    prewhitened: bool,
) -> dict[str, Any]:
    """Say what made ``images``, so that they can be made again and compared: plain values for `json.dump`.

    Parameters
    ----------
    model
        Its state's `fingerprint` is written, and of its options those of normalisation.
    header
        Of the raw file; of its notices all.
    mask
        Lines or points reconstructed from, bool ``(kx,)`` or ``(ky, kx)``. Its SHA-256 is of one byte, 0 or 1, for each
        of them in C order. Along a trajectory there is no mask.
    images
        Float32 ``(slices, y, x)``.
    weights
        Name of the weights; None where there are none, or they came without one.
    acceleration
        That a fully sampled file was undersampled by, as an experiment.
    maps
        How coil maps were estimated; None without any.
    prewhitened
        Whether the coils were, by the file's noise scan.
    """
    options: dict[str, Any] = getattr(model, "options", {})
    maximum = float(images.max())
    return {
        "source": header.name,
        "images": {"shape": list(images.shape), "max": maximum if math.isfinite(maximum) else None},
        "weights": {"name": weights, "model": type(model).__name__, "sha256": fingerprint(model)},
        "sampling": _sampling(mask if header.is_cartesian else None, acceleration),
        "coils": header.coils,
        "coil_maps": maps,
        "prewhitened": prewhitened,
        "protocol": {
            "acquisition": header.attributes.get("acquisition"),
            "scanner": header.scanner,
            "told_to_the_model": header.protocol.tolist() if model.metadata > 0 else None,
        },
        "normalisation": {
            name.removeprefix("normalisation_"): value
            for name, value in options.items()
            if name.startswith("normalisation_")
        },
        "notices": list(header.notices),
        "versions": {"invrim": __version__, "torch": str(torch.__version__), "python": platform.python_version()},
    }


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record, whole or not at all."""
    text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _sampling(mask: Tensor | None, undersampled_by: float | None) -> dict[str, Any]:
    if mask is None:
        return {"acceleration": None, "undersampled_by": undersampled_by, "mask_sha256": None}
    return {
        "acceleration": mask.numel() / int(mask.sum()),
        "undersampled_by": undersampled_by,
        "mask_sha256": hashlib.sha256(mask.cpu().bool().numpy().tobytes()).hexdigest(),
    }
