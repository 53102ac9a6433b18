"""Read ISMRMRD HDF5 files, all acquisitions in one go.

One by one through the library's own reader is some fifty times slower. The header's XML is the library's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from invrim.data.acquisition import Acquisition, Attribute
from invrim.data.assembly import assemble, images_of_readouts
from invrim.data.formats.hdf5 import dataset, open_read
from invrim.data.formats.ismrmrd_header import calibrates_within, encoding_of, parse_header, protocol_of
from invrim.data.readouts import Encoding, Readouts
from invrim.errors import DataError, FileError, about

_NOISE = 1 << 18
_REVERSE = 1 << 21
_CALIBRATION_ONLY = 1 << 19
_NO_IMAGE = _NOISE | sum(1 << bit for bit in (22, 23, 25, 26, 27, 28, 29, 30))
"""Bit n - 1 is flag n of the standard: navigators, phase correction, dummies, feedback and their like."""
_IMAGES = ("contrast", "phase", "repetition", "set")
"""Counters that tell images of one stack apart, the slowest last."""
_LARGEST = 1 << 40
"""Samples; more than any scanner sends, and than a damaged length may claim."""


def read(path: Path) -> Acquisition:
    """Read a file; of several encoding spaces the one of the first image data.

    Noise scans, navigators and other lines that are no image are left out; noise is kept apart. Reverse lines are
    turned round, calibration lines within the image's k-space are used, and what is said to be discarded is left out.

    Raises
    ------
    FileError
        Damaged, or links to other files.
    DataError
        The header and the data contradict each other.
    MissingExtraError
        Without the extra ``raw``.
    """
    with open_read(path) as file:
        group = ismrmrd_group(file)
        if group is None:
            raise FileError(f"{path}: expected a group with `xml` and `data`, got none. Copy them into the file.")
        xml, table = (_list(file, f"{group}/{name}") for name in ("xml", "data"))
    with about(path.name):
        if not _holds_acquisitions(table.dtype):
            raise DataError("expected acquisitions of head, traj and data in `data`, got another table. Rewrite it.")
        return acquisition_of(path.name, xml[0], table)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which readouts of a table make images, and how."""

    chosen: np.ndarray
    """Bool ``(n,)``: those that do; the others are noise, navigators, or of another encoding space."""
    encoding: Encoding
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """What is known of scanner and protocol."""


def acquisition_of(name: str, xml: bytes | str, table: np.ndarray) -> Acquisition:
    """Assemble a table of acquisitions, as the file has it and a stream fills it.

    Parameters
    ----------
    name
        File name, with its suffix.
    xml
        ISMRMRD header.
    table
        Structured ``(n,)`` with the fields ``head``, ``traj`` and ``data`` of the standard.
    """
    return assembled(name, plan_of(xml, table["head"]), table)


def assembled(name: str, plan: Plan, table: np.ndarray) -> Acquisition:
    """Assemble a table of acquisitions as planned."""
    return assemble(name, _readouts(table, plan), plan.encoding)


def plan_of(xml: bytes | str, head: np.ndarray) -> Plan:
    """Plan by an ISMRMRD header and the table's own field ``head``, ``(n,)``."""
    header = parse_header(xml)
    image = image_readouts(head)
    if not image.any():
        raise DataError("expected image data, got noise or navigators alone. Give the file of the scan itself.")
    space = int(head["encoding_space_ref"][image][0])
    encoding = encoding_of(header, space)
    image &= head["encoding_space_ref"] == space
    if not calibrates_within(header, space):
        image &= (head["flags"] & np.uint64(_CALIBRATION_ONLY)) == 0
    return Plan(chosen=image, encoding=encoding, attributes=protocol_of(header))


def image_readouts(head: np.ndarray) -> np.ndarray:
    """Which readouts are flagged neither as noise nor as navigators and their like, bool ``(n,)``."""
    return (head["flags"] & np.uint64(_NO_IMAGE)) == 0


def count_images(plan: Plan, head: np.ndarray) -> int:
    """How many images of k-space the planned readouts fill, slices times volumes."""
    return _image_numbers(head[plan.chosen])[1]


def heads_of_images(plan: Plan, head: np.ndarray) -> dict[int, np.ndarray]:
    """Of every image that has readouts, by its number in the stack, the header of the one nearest to zero frequency.

    Of a volume with two phase encodings, whose positions along the readout are the stack, one for the whole volume.
    """
    head = head[plan.chosen]
    index = head["idx"]
    image, _ = _image_numbers(head)
    steps = np.stack([index["kspace_encode_step_1"], index["kspace_encode_step_2"]], axis=1).astype(np.int64)
    nearest_first = np.argsort(np.abs(steps - plan.encoding.centre).sum(axis=1), kind="stable")
    numbers, first = np.unique(image[nearest_first], return_index=True)
    return {int(number): head[nearest_first[row]] for number, row in zip(numbers, first, strict=True)}


def _image_numbers(head: np.ndarray) -> tuple[np.ndarray, int]:
    index = head["idx"]
    return images_of_readouts(index["slice"], _volumes(index), head["position"], head["slice_dir"])


def _holds_acquisitions(table: np.dtype) -> bool:
    """Whether a table has the fields of the standard, a damaged one not."""
    fields = {
        (): {"head", "traj", "data"},
        ("head",): {
            "flags", "number_of_samples", "active_channels", "discard_pre", "discard_post", "center_sample",
            "encoding_space_ref", "trajectory_dimensions", "position", "read_dir", "phase_dir", "slice_dir", "idx",
        },
        ("head", "idx"): {"kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", *_IMAGES},
    }  # fmt: skip
    for path, names in fields.items():
        part = table
        for name in path:
            part = part[name]
        if not names <= set(part.names or ()):
            return False
    return True


def ismrmrd_group(file: h5py.File) -> str | None:
    """Name of the group with what the ISMRMRD library writes, ``xml`` beside ``data``; None without one."""
    groups = {name: file.get(name) for name in file if file.get(name, getclass=True) is h5py.Group}
    return next((name for name, group in groups.items() if {"xml", "data"} <= set(group)), None)


def _list(file: h5py.File, name: str) -> np.ndarray:
    stored = dataset(file, name)
    if stored.ndim != 1 or not len(stored):
        raise FileError(
            f"{file.filename}: expected `{name}` as a list, got shape {stored.shape}. Record the scan again."
        )
    return np.asarray(stored[()])


def _readouts(table: np.ndarray, plan: Plan) -> Readouts:
    image = plan.chosen
    head = table["head"][image]
    coils, samples = _common(head, "active_channels"), _common(head, "number_of_samples")
    data = _stack(table["data"][image], coils, samples)
    pre, post = _common(head, "discard_pre"), _common(head, "discard_post")
    if pre + post >= samples:
        raise DataError(
            f"expected samples to remain of {samples}, got {pre} and {post} to discard. Correct the header."
        )
    kept = slice(pre, samples - post)
    reverse = (head["flags"] & np.uint64(_REVERSE)) != 0
    # Counted in the order of acquisition: discard first, then turn round.
    data = data[..., kept]
    data[reverse] = data[reverse][..., ::-1]
    remaining, centre = data.shape[-1], _common(head, "center_sample") - pre
    if reverse.any() and abs(remaining - 1 - 2 * centre) > 1:
        raise DataError(
            f"expected reverse lines with their centre in the middle, got it at {centre} of {remaining} samples. "
            f"Asymmetric echoes in both directions are not supported."
        )
    index = head["idx"]
    return Readouts(
        samples=np.ascontiguousarray(data),
        steps=np.stack([index["kspace_encode_step_1"], index["kspace_encode_step_2"]], axis=1).astype(np.int64),
        slices=index["slice"].astype(np.int64),
        volumes=_volumes(index),
        centre=centre,
        positions=head["position"],
        directions=np.stack([head["read_dir"], head["phase_dir"], head["slice_dir"]], axis=1),
        trajectory=None if plan.encoding.is_cartesian else _trajectory(table["traj"][image], head, kept, reverse),
        noise=_noise(table, coils),
        attributes=plan.attributes,
    )


def _common(head: np.ndarray, field: str) -> int:
    values = np.unique(head[field])
    if len(values) > 1:
        raise DataError(f"expected one {field} for all image data, got {values.tolist()}. Reconstruct them apart.")
    return int(values[0])


def _stack(rows: np.ndarray, coils: int, samples: int) -> np.ndarray:
    """Join rows of real and imaginary parts by turns, each of a length of its own, to ``(n, coil, samples)``."""
    wanted = 2 * coils * samples
    if not 0 < wanted * len(rows) < _LARGEST:
        raise DataError(
            f"expected coils and samples, got {coils} and {samples} in {len(rows)} readouts. Correct the header."
        )
    wrong = next((len(row) for row in rows if len(row) != wanted), None)
    if wrong is not None:
        raise DataError(
            f"expected {wanted} numbers in a readout of {coils} coils and {samples} samples, got {wrong}. The header "
            f"contradicts the data: copy the file again, or correct it."
        )
    flat = np.concatenate(rows).astype(np.float32, copy=False)
    return flat.view(np.complex64).reshape(len(rows), coils, samples)


def _volumes(index: np.ndarray) -> np.ndarray:
    """One number for every combination of the counters in `_IMAGES`."""
    counters = np.stack([index[name] for name in reversed(_IMAGES)], axis=1)
    return np.unique(counters, axis=0, return_inverse=True)[1].reshape(-1)


def _trajectory(rows: np.ndarray, head: np.ndarray, kept: slice, reverse: np.ndarray) -> np.ndarray:
    dimensions, samples = _common(head, "trajectory_dimensions"), _common(head, "number_of_samples")
    if dimensions < 2 or any(len(row) != dimensions * samples for row in rows):
        raise DataError(
            f"expected a trajectory of 2 numbers for each of {samples} samples, got {dimensions}, or readouts without. "
            f"Store kx and ky of every sample."
        )
    points = np.concatenate(rows).reshape(len(rows), samples, dimensions)
    if dimensions > 2 and np.abs(points[..., 2:]).max() > 0:
        raise DataError(f"expected a trajectory in two dimensions, got {dimensions}. Transform the third one first.")
    points = points[:, kept, :2].copy()
    points[reverse] = points[reverse][:, ::-1]
    return points


def _noise(table: np.ndarray, coils: int) -> np.ndarray | None:
    """Samples of the noise scans with these coils, ``(coil, samples)``."""
    head = table["head"]
    chosen = ((head["flags"] & np.uint64(_NOISE)) != 0) & (head["active_channels"] == coils)
    rows = [
        _stack(table["data"][index : index + 1], coils, int(head["number_of_samples"][index]))[0]
        for index in np.flatnonzero(chosen)
    ]
    return np.concatenate(rows, axis=1) if rows else None
