"""ISMRMRD files of a few bright points at known places, written by the ISMRMRD library."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ismrmrd
import numpy as np

XML = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<measurementInformation><patientPosition>HFS</patientPosition><protocolName>points</protocolName></measurementInformation>
<acquisitionSystemInformation><systemVendor>nobody</systemVendor><systemModel>Skyra</systemModel>
<receiverChannels>{coils}</receiverChannels></acquisitionSystemInformation>
<experimentalConditions><H1resonanceFrequency_Hz>1</H1resonanceFrequency_Hz></experimentalConditions>
<encoding><encodedSpace>{encoded}</encodedSpace><reconSpace>{image}</reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center>
</kspace_encoding_step_1></encodingLimits><trajectory>{trajectory}</trajectory>{parallel}</encoding></ismrmrdHeader>"""
SPACE = (
    "<matrixSize><x>{}</x><y>{}</y><z>{}</z></matrixSize><fieldOfView_mm><x>{}</x><y>{}</y><z>{}</z></fieldOfView_mm>"
)
WIDTH = 3.0
"""Of a point, in millimetres; a voxel is about as wide."""


@dataclass
class PointScan:
    """What is scanned, and how; lengths in millimetres, places LPS+."""

    points: Sequence[Sequence[float]] = ((12.0, -8.0, 3.0), (-20.0, 14.0, 3.0), (4.0, 22.0, 3.0))
    brightness: Sequence[float] = (1.0, 0.7, 0.5)
    directions: np.ndarray = field(default_factory=lambda: np.eye(3))
    """Readout, phase and slice as rows."""
    position: Sequence[float] = (1.0, -2.0, 3.0)
    matrix: tuple[int, int, int] = (48, 40, 1)
    """Of the image."""
    fov: tuple[float, float, float] = (96.0, 88.0, 5.0)
    oversampling: int = 2
    phase_margin: int = 0
    """Lines that are encoded beyond those of the image."""
    coils: int = 3
    slices: int = 1
    slice_distance: float = 6.0
    repetitions: int = 1
    averages: int = 1
    centre: int | None = None
    """Step of zero frequency; the middle if None."""
    lines: Callable[[int], Sequence[int]] | None = None
    """Repetition -> measured steps; all if None."""
    reverse: bool = False
    """Every other line backwards."""
    noise_scans: int = 0
    acceleration: int = 1
    discard: int = 0
    """Worthless samples before every readout."""

    @property
    def lines_encoded(self) -> int:
        return self.matrix[1] + self.phase_margin

    @property
    def height_encoded(self) -> float:
        return self.fov[1] * self.lines_encoded / self.matrix[1]

    @property
    def header(self) -> str:
        x, y, z = self.matrix
        lines, lines_height = self.lines_encoded, self.height_encoded
        width, height, depth = self.fov
        parallel = (
            f"<parallelImaging><accelerationFactor><kspace_encoding_step_1>{self.acceleration}"
            "</kspace_encoding_step_1><kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>"
            "<calibrationMode>embedded</calibrationMode></parallelImaging>"
        )
        return XML.format(
            coils=self.coils, last=lines - 1, centre=lines // 2 if self.centre is None else self.centre,
            trajectory="cartesian", parallel=parallel,
            encoded=SPACE.format(x * self.oversampling, lines, z, width * self.oversampling, lines_height, depth),
            image=SPACE.format(x, y, z, width, height, depth),
        )  # fmt: skip

    def readout(self, step: int, partition: int, centre: np.ndarray) -> np.ndarray:
        """Direct sum over the points, ``(coil, samples)``; each coil sees another phase and weight."""
        n = self.matrix[0] * self.oversampling
        kx = (np.arange(n) - n // 2) / (self.fov[0] * self.oversampling)
        ky = (step - (self.lines_encoded // 2 if self.centre is None else self.centre)) / self.height_encoded
        kz = (partition - self.matrix[2] // 2) / self.fov[2]
        samples = np.zeros((self.coils, n), np.complex64)
        for number, (point, amplitude) in enumerate(zip(self.points, self.brightness, strict=True)):
            u, v, w = self.directions @ (np.asarray(point) - centre)
            if self.matrix[2] == 1 and abs(w) > self.fov[2] / 2:
                continue
            phase = kx * u + ky * v + kz * w * (self.matrix[2] > 1)
            decay = np.exp(-((np.pi * WIDTH) ** 2) * (kx**2 + ky**2 + kz**2) / 4)
            weights = np.exp(1j * np.arange(self.coils)) * (1 + 0.2 * np.cos(np.arange(self.coils) + number))
            samples += (weights[:, None] * amplitude * decay * np.exp(-2j * np.pi * phase)).astype(np.complex64)
        return samples

    def write(self, path: Path) -> Path:
        with_library = ismrmrd.Dataset(str(path), "dataset", create_if_needed=True)
        with_library.write_xml_header(self.header.encode())
        rng = np.random.default_rng(0)
        for _ in range(self.noise_scans):
            noise = rng.normal(size=(self.coils, 64)) + 1j * rng.normal(size=(self.coils, 64))
            acquisition = ismrmrd.Acquisition.from_array(noise.astype(np.complex64))
            acquisition.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
            with_library.append_acquisition(acquisition)
        for acquisition in self.acquisitions():
            with_library.append_acquisition(acquisition)
        with_library.close()
        return path

    def acquisitions(self) -> list[ismrmrd.Acquisition]:
        found = []
        z = self.matrix[2]
        for repetition in range(self.repetitions):
            for number in reversed(range(self.slices)):  # not in the order of their places
                centre = np.asarray(self.position) + number * self.slice_distance * self.directions[2]
                for step in range(self.lines_encoded) if self.lines is None else self.lines(repetition):
                    for partition in range(z):
                        for average in range(self.averages):
                            samples = self.readout(step, partition, centre) * (1 + average - (self.averages - 1) / 2)
                            counters = (step, partition, number, repetition, average)
                            found.append(self.acquisition(samples, counters, centre))
        return found

    def acquisition(self, samples, counters, centre):
        step, partition, number, repetition, average = counters
        backwards = self.reverse and step % 2 == 1
        data = samples[:, ::-1] if backwards else samples
        data = np.concatenate([np.full((self.coils, self.discard), 99, np.complex64), data], axis=1)
        acquisition = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data))
        acquisition.discard_pre = self.discard
        acquisition.center_sample = samples.shape[1] // 2 + self.discard
        acquisition.position[:] = centre.tolist()
        read, phase, across = self.directions.tolist()
        acquisition.read_dir[:], acquisition.phase_dir[:], acquisition.slice_dir[:] = read, phase, across
        index = acquisition.idx
        index.kspace_encode_step_1, index.kspace_encode_step_2 = step, partition
        index.slice, index.repetition, index.average = number, repetition, average
        if backwards:
            acquisition.set_flag(ismrmrd.ACQ_IS_REVERSE)
        return acquisition
