"""Make the training data of the weights that ship: scans simulated from six T1w and T2w brain volumes.

    python recipes/brain_data.py --images DIR --out runs/brain-data

Every file's coils, phase and noise are seeded by its name, so equal volumes give equal files on every run. Five
volumes are learned from; one plane of the last is held out for validation. The sixth, another subject, is for testing
alone. Without the image folder the volumes that `invrim.data.samples` can fetch are used instead: two to learn from.
"""

from __future__ import annotations

import argparse
import shutil
import zlib
from pathlib import Path

import numpy as np
import torch

from invrim.data.acquisition import Acquisition
from invrim.data.appearance import Appearance
from invrim.data.formats.fastmri import write_acquisition
from invrim.data.formats.nifti import read_volume, slices
from invrim.data.samples import fetch
from invrim.data.simulation import SliceChoice, simulate_volume
from invrim.operators import ifft_centred

TRAINING = {
    "pydra": "pydra_T1w",
    "colin27": "colin27_ch2",
    "ixi_t1": "IXI002_T1",
    "ixi_t2": "IXI002_T2",
    "pycortex": "pycortex_S1_T1w",
}
"""Key in file names -> volume. The order matters: noise levels are drawn one after the other."""
TEST = {"ds000240": "ds000240_sub-01_T1w"}
PLANES = ("axial", "coronal", "sagittal")
HELD_OUT = "coronal"
"""Plane of the validation volume that is validated on, and left out of training."""
VALIDATION_SLICES = {1: (70, 190, 12), 8: (80, 180, 6)}
"""Coils -> first slice, last slice and their number, of the 256 of the pycortex volume."""
VALIDATION_SNR = {1: 30, 8: 60}
"""Coils -> signal-to-noise ratio in validation."""
NOISE = {"one": (15, 60), "many": (30, 150)}
"""Range of the signal-to-noise ratios in training. An array has more of it than one coil."""
LOOKS = {
    "one": {"tissue_phase": (-0.5, 0.5)},
    "many": {"tissue_phase": (-0.8, 0.8), "fat": (1, 6), "receive_bias": (0, 1.5)},
}
"""Ranges of what scans in training look like. A real array's images are brighter at the skin, and their fat
outshines the brain, with a phase of its own; weights that never saw that take its aliases for anatomy."""
FILES = ((0, 1), (2, 1), (4, 1), (1, 8), (3, 13))
"""First slice, of every sixth, and number of coils: the training files of every plane of every volume."""


def find_volumes(images: Path) -> dict[str, Path]:
    """Key -> file, from the folder if it is there, else what can be fetched."""
    if images.is_dir():
        volumes = {key: images / f"{stem}.nii.gz" for key, stem in (TRAINING | TEST).items()}
        missing = [path.name for path in volumes.values() if not path.is_file()]
        if missing:
            raise SystemExit(f"{images}: expected {', '.join(missing)} too. Add them, or leave --images out.")
        return volumes
    print(
        f"notice: {images} is not here. Of the five training volumes only pydra and colin27 can be fetched; going on "
        f"with these two and validating on colin27's {HELD_OUT} slices. The weights will NOT be those that ship.",
        flush=True,
    )
    volumes = {}
    for key in ("pydra", "colin27", "ds000240"):
        sample = fetch(key)
        if sample.is_fallback:
            raise SystemExit(f"{key}: {sample.notice} That is nothing to train on: go online, or give --images.")
        print(f"{key}: {sample.notice}", flush=True)
        volumes[key] = sample.path
    return volumes


def put(stack: np.ndarray, path: Path, coils: int, snr: float, looks: Appearance | None = None) -> None:
    """Simulate a scan of a stack of slices and write it."""
    scan = simulate_volume(
        np.maximum(stack, 0),
        path.name,
        coils=coils,
        snr=float(snr),
        appearance=looks,
        seed=zlib.crc32(path.name.encode()),
        choice=SliceChoice(min_signal=0.08),
    )
    write_acquisition(path, scan)
    print(f"{path.parent.name}/{path.name} {tuple(scan.kspace.shape)} snr {snr:.0f}", flush=True)


def put_validation(key: str, volume: Path, out: Path) -> None:
    """Write twelve slices with one coil and six with eight."""
    stack = slices(read_volume(volume), HELD_OUT)
    for coils, (first, last, count) in VALIDATION_SLICES.items():
        chosen = (np.linspace(first, last, count) * len(stack) / 256).round().astype(int)
        put(stack[chosen], out / "val" / f"val_{key}_{HELD_OUT}_{coils}.h5", coils, VALIDATION_SNR[coils])


def put_training(volumes: dict[str, Path], held_out: str, out: Path) -> None:
    """Write the training files of every plane, each with its own noise level, looks and phase."""
    rng = np.random.default_rng(0)
    for key in TRAINING:
        if key not in volumes:
            continue
        volume = read_volume(volumes[key])
        for plane in PLANES:
            if (key, plane) == (held_out, HELD_OUT):
                continue
            stack = slices(volume, plane)
            for start, coils in FILES:
                name = f"{key}_{plane}_{coils}_{start}.h5"
                kind = "one" if coils == 1 else "many"
                looks = Appearance(**{field: rng.uniform(*span) for field, span in LOOKS[kind].items()})
                put(stack[start::6], out / "train" / name, coils, rng.uniform(*NOISE[kind]), looks)


def put_real(scan: Path, out: Path) -> None:
    """Write a real fully sampled multi-coil scan, with the root sum of squares of its coil images as target."""
    with np.load(scan) as arrays:
        kspace = torch.from_numpy(arrays["kspace"])
    target = torch.linalg.vector_norm(ifft_centred(kspace), dim=1)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{scan.stem}.h5"
    facts = {"acquisition": "real", "max": float(target.max())}
    write_acquisition(path, Acquisition(name=path.name, kspace=kspace, target=target, attributes=facts))
    print(f"{out.name}/{path.name} {tuple(kspace.shape)}", flush=True)


def main() -> None:
    """Parse the command line and make the folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=Path("../shared/data/mr_images"), help="folder of the volumes")
    parser.add_argument("--out", type=Path, default=Path("runs/brain-data"), help="gets train/, val/, test/ and real/")
    parser.add_argument("--only-real", action="store_true", help="only write the real scan")
    options = parser.parse_args()
    scan = options.images.parent / "mr_raw" / "brain_cart_13ch_vfa.npz"
    if scan.is_file():
        put_real(scan, options.out / "real")
    if options.only_real:
        return
    torch.set_num_threads(1)  # sums in another order would change last bits
    volumes = find_volumes(options.images)
    for folder in ("train", "val", "test"):
        # Files of an older version of this script would be learned from too.
        shutil.rmtree(options.out / folder, ignore_errors=True)
        (options.out / folder).mkdir(parents=True)
    held_out = [key for key in TRAINING if key in volumes][-1]
    put_validation(held_out, volumes[held_out], options.out)
    put(
        slices(read_volume(volumes["ds000240"]), "axial")[::4], options.out / "test" / "test_ds000240_axial_1.h5", 1, 30
    )
    put_training(volumes, held_out, options.out)


if __name__ == "__main__":
    main()
