"""Floor 4: from files of raw data to files of images."""

from invrim.reconstruction.archive import reconstruct_archive
from invrim.reconstruction.job import ALSO, Job, require_separate_results
from invrim.reconstruction.prepare import fidelity_of, sampling_mask, undersampled
from invrim.reconstruction.shards import Shard
from invrim.reconstruction.status import STATUS, Outcome
from invrim.reconstruction.volume import reconstruct_file, reconstruct_scan, reconstruct_slices

__all__ = [
    "ALSO",
    "STATUS",
    "Job",
    "Outcome",
    "Shard",
    "fidelity_of",
    "reconstruct_archive",
    "reconstruct_file",
    "reconstruct_scan",
    "reconstruct_slices",
    "require_separate_results",
    "sampling_mask",
    "undersampled",
]
