"""Floor 4: from files of raw data to files of images."""

from invrim.reconstruction.prepare import fidelity_of, sampling_mask, undersampled
from invrim.reconstruction.volume import (
    ALSO,
    Job,
    reconstruct_file,
    reconstruct_scan,
    reconstruct_slices,
    require_separate_results,
)

__all__ = [
    "ALSO",
    "Job",
    "fidelity_of",
    "reconstruct_file",
    "reconstruct_scan",
    "reconstruct_slices",
    "require_separate_results",
    "sampling_mask",
    "undersampled",
]
