"""What a reconstruction was made of and by, in a JSON file beside it."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invrim import __version__
from invrim.data.formats.reconstructions import read_reconstruction
from invrim.data.header import Header
from invrim.files import atomic_write
from invrim.models import Solver, fingerprint
from invrim.reconstruction.source import is_same_source


def maker_of(model: Solver, *, weights: str | None, asked_for: Mapping[str, Any]) -> dict[str, Any]:
    """Say what makes the images of all files alike, as a part of `record_of`; hashes the weights once.

    Parameters
    ----------
    model
        Its state's `fingerprint` is written, and its options.
    weights
        Name of the weights; None where there are none, or they came without one.
    asked_for
        Options that change the images.
    """
    options: dict[str, Any] = getattr(model, "options", {})
    maker = {
        "weights": {
            "name": weights, "model": type(model).__name__, "sha256": fingerprint(model), "options": options,
        },
        "asked_for": dict(asked_for),
    }  # fmt: skip
    plain: dict[str, Any] = json.loads(json.dumps(maker))
    return plain


def record_of(
    model: Solver,
    header: Header,
    mask: Tensor | None,
    images: Tensor,
    *,
    maker: Mapping[str, Any],
    source: Mapping[str, Any],
    also: Sequence[str] = (),
    acceleration: float | None,
    maps: str | None,
    prewhitened: bool,
) -> dict[str, Any]:
    """Say what made ``images``, so that they can be made again and compared: plain values for `json.dump`.

    Parameters
    ----------
    model
        Its options of normalisation are written.
    header
        Of the raw file; of its notices all.
    mask
        Lines or points reconstructed from, bool ``(kx,)`` or ``(ky, kx)``. Its SHA-256 is of one byte, 0 or 1, for each
        of them in C order. Along a trajectory there is no mask.
    images
        Float32 ``(slices, y, x)``; their SHA-256 is of the file's bytes, in C order.
    maker
        As `maker_of` says it.
    source
        The raw file, as `invrim.reconstruction.source.source_of` says it.
    also
        Which further results lie beside the images.
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
        "source": dict(source),
        "images": {
            "shape": list(images.shape),
            "max": maximum if math.isfinite(maximum) else None,
            "sha256": hash_of(images),
        },
        "also": sorted(also),
        **maker,
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


def is_record_of(record: Path, images: Path, maker: Mapping[str, Any], path: Path, also: Sequence[str] = ()) -> bool:
    """Whether a record says that images and further results are whole, and made by this maker of this raw file.

    Reads the images once, and not the raw file unless its time has changed.
    """
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        made_alike = all(_same_maker(found, maker, part) for part in ("weights", "asked_for"))
        return (
            made_alike
            and set(also) <= set(found["also"])
            and is_same_source(path, found["source"])
            and hash_of(read_reconstruction(images)) == found["images"]["sha256"]
        )
    except (OSError, ValueError, LookupError, TypeError):  # one of an earlier version, or damaged: made again
        return False


def hash_of(images: Tensor) -> str:
    """SHA-256 of images as float32 in C order."""
    return hashlib.sha256(images.detach().cpu().float().contiguous().numpy().data).hexdigest()


def _same_maker(found: Mapping[str, Any], maker: Mapping[str, Any], part: str) -> bool:
    """The weights' name is no part of them."""
    one, other = ({key: value for key, value in made[part].items() if key != "name"} for made in (found, maker))
    return one == other


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
