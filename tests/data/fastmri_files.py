"""Small fastMRI-schema files with distinct sizes on every axis."""

from pathlib import Path

import torch

from invrim.data.acquisition import Acquisition
from invrim.data.formats.fastmri import write_acquisition

HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>24</x><y>{encoded}</y><z>1</z></matrixSize></encodedSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{maximum}</maximum><center>{center}</center>
</kspace_encoding_step_1></encodingLimits></encoding></ismrmrdHeader>"""


def acquisition(
    *, slices: int = 3, coils: int = 2, size: tuple[int, int] = (24, 37), target: tuple[int, int] | None = None,
    mask: torch.Tensor | None = None, name: str = "scan.h5", seed: int = 0,
) -> Acquisition:  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    kspace = torch.randn(slices, coils, *size, dtype=torch.complex64, generator=generator)
    images = torch.rand(slices, *(target or size), generator=generator)
    return Acquisition(name=name, kspace=kspace, mask=mask, target=images, attributes={"patient_id": "p", "te": 3.5})


def write(folder: Path, name: str = "scan.h5", **options: object) -> Path:
    path = folder / name
    write_acquisition(path, acquisition(name=name, **options))
    return path
