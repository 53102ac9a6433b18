"""Read Siemens raw files (twix, ``.dat``) through twixtools."""

from __future__ import annotations

import io
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from invrim.data.acquisition import Acquisition, Attribute
from invrim.data.assembly import assemble
from invrim.data.readouts import Encoding, Readouts
from invrim.errors import DataError, FileError, InvrimError, about, import_extra
from invrim.files import reason

_VOLUME = 4
"""``ucDimension`` of a scan with partitions; 2 is of slices."""
_CARTESIAN = 1
"""``ucTrajectory``."""
_IN_PLACE = 2
"""``ucRefScanMode`` of calibration lines that belong to the image's own k-space."""


def read(path: Path) -> Acquisition:
    """Read the last measurement of a file, which is the image; those before it are adjustments.

    Noise scans, navigators and phase-correction lines are left out; noise with the image's coils is kept apart.
    Position and directions are those of twixtools.

    Raises
    ------
    FileError
        No twix file, or a damaged one.
    DataError
        Header and data contradict each other, or a trajectory that is not Cartesian.
    MissingExtraError
        Without the extra ``raw``.
    """
    with about(path.name):
        try:
            measurement, noise = _measurements(path)
            encoding = _encoding(measurement)
            return assemble(path.name, _readouts(measurement, noise), encoding)
        except InvrimError:
            raise
        except Exception as error:  # twixtools has no errors of its own: a damaged file fails anywhere in it
            _close_files_of(error)
            raise FileError(
                f"{path}: expected a complete Siemens twix file, got one that cannot be read "
                f"({'without ' if isinstance(error, KeyError) else ''}{reason(error)}). Copy it again."
            ) from error


def _measurements(path: Path) -> tuple[Any, list[Any]]:
    """The image's measurement, and the noise lines of all."""
    twixtools = import_extra("twixtools", extra="raw", to="read Siemens files")
    every = twixtools.read_twix(str(path), parse_pmu=False, verbose=False)
    if not every or not every[-1]["mdb"]:
        raise FileError(f"{path}: expected a measurement with data, got none. Copy the file again.")
    noise = [line for measurement in every for line in measurement["mdb"] if line.is_flag_set("NOISEADJSCAN")]
    return every[-1], noise


def _close_files_of(error: Exception) -> None:
    """Close what twixtools leaves open when it fails."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for file in (frame.f_locals.get("fid"), getattr(frame.f_locals.get("self"), "fid", None)):
            if isinstance(file, io.IOBase):
                file.close()


def _encoding(measurement: Any) -> Encoding:
    protocol = measurement["hdr"]["MeasYaps"]
    space, chosen = protocol["sKSpace"], protocol["sSliceArray"]["asSlice"][0]
    if space["ucTrajectory"] != _CARTESIAN:
        raise DataError(
            f"expected a Cartesian scan, got ucTrajectory {space['ucTrajectory']}. Convert it to ISMRMRD with its "
            f"trajectory."
        )
    lines = [line for line in measurement["mdb"] if line.is_image_scan()]
    if not lines:
        raise DataError("expected image data, got adjustments alone. Give the file of the scan itself.")
    base, phase = int(space["lBaseResolution"]), int(space["lPhaseEncodingLines"])
    partitions = int(space["lPartitions"]) if space["ucDimension"] == _VOLUME else 1
    over_phase = 1 + float(space.get("dPhaseOversamplingForDialog", 0) or 0)
    over_slice = 1 + float(space.get("dSliceOversamplingForDialog", 0) or 0)
    read_mm, phase_mm = float(chosen["dReadoutFOV"]), float(chosen["dPhaseFOV"])
    factors = protocol.get("sPat", {})
    centre = lines[0].mdh
    return Encoding(
        matrix=(2 * base, phase, partitions),
        fov_mm=(2 * read_mm, phase_mm * over_phase, float(chosen["dThickness"]) * over_slice),
        image_fov_mm=(read_mm, phase_mm, float(chosen["dThickness"])),
        centre=(int(centre.CenterLin), int(centre.CenterPar)),
        acceleration=float(factors.get("lAccelFactPE", 1)) * float(factors.get("lAccelFact3D", 1)),
    )


def _readouts(measurement: Any, noise: list[Any]) -> Readouts:
    protocol = measurement["hdr"]["MeasYaps"]
    lines = [line for line in measurement["mdb"] if line.is_image_scan() or _calibrates(line, protocol)]
    shapes = {line.data.shape for line in lines}
    if len(shapes) > 1:
        raise DataError(f"expected lines of one size, got (coils, samples) {sorted(shapes)}. Reconstruct them apart.")
    (coils, _),  = shapes  # fmt: skip
    counters = [line.mdh.Counter for line in lines]
    samples = [line.data[:, ::-1] if line.is_flag_set("REFLECT") else line.data for line in lines]
    matrices = [geometry.prs_to_pcs() for geometry in measurement["geometry"]]
    directions = [matrices[min(counter.Sli, len(matrices) - 1)].T[[1, 0, 2]] for counter in counters]
    places = [line.mdh.SliceData.SlicePos for line in lines]
    volumes = np.array([[c.Rep, c.Phs, c.Set, c.Eco] for c in counters])
    return Readouts(
        samples=np.stack(samples).astype(np.complex64),
        steps=np.array([[c.Lin, c.Par] for c in counters], dtype=np.int64),
        slices=np.array([c.Sli for c in counters], dtype=np.int64),
        volumes=np.unique(volumes, axis=0, return_inverse=True)[1].reshape(-1),
        centre=int(lines[0].mdh.CenterCol),
        positions=np.array([[place.Sag, place.Cor, place.Tra] for place in places]),
        directions=np.stack(directions),
        noise=_noise(noise, coils),
        attributes=_attributes(measurement["hdr"]),
    )


def _calibrates(line: Any, protocol: Any) -> bool:
    return line.is_flag_set("PATREFSCAN") and protocol.get("sPat", {}).get("ucRefScanMode") == _IN_PLACE


def _noise(lines: list[Any], coils: int) -> np.ndarray | None:
    rows = [line.data for line in lines if line.data.shape[0] == coils]
    return np.concatenate(rows, axis=1).astype(np.complex64) if rows else None


def _attributes(header: Any) -> dict[str, Attribute]:
    known = {
        "scanner": header["Dicom"].get("ManufacturersModelName"),
        "vendor": header["Dicom"].get("Manufacturer"),
        "acquisition": header["MeasYaps"].get("tProtocolName"),
    }
    return {name: str(value).strip('"') for name, value in known.items() if value}
