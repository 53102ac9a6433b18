"""What becomes of raw files of every format: the conventional start, what the weights that ship make of it, the truth?

python benchmarks/raw_files.py --data ../shared/data    # writes results/raw_files.json and docs/raw_files.png

The truth is the fully sampled scan, or conjugate gradients from all spokes; where a file is undersampled as it is,
there is none. Files of BART and of the ISMRMRD tools are made by these, and left out where they are not installed.

SSIM is also given of the object alone, where the truth, smoothed, is above the threshold of Li & Lee (1993), holes
filled: in air a truth from few data is noise, which a better image does not repeat.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import binary_fill_holes
from skimage.filters import gaussian, threshold_li
from skimage.metrics import structural_similarity
from torch import Tensor

from envelope import write_results
from figures import DOCS
from invrim import load_model
from invrim.data.acquisition import Acquisition
from invrim.data.formats.opening import open_scan
from invrim.data.orientation import upright
from invrim.data.scan import LoadedScan, Scan, part_of
from invrim.errors import OptionError
from invrim.evaluation import evaluate_volume
from invrim.files import require_folder
from invrim.models import Solver
from invrim.models.baselines import ZeroFilled
from invrim.models.cg_sense import ConjugateGradientSENSE
from invrim.reconstruction import Job, reconstruct_scan
from invrim.report.picture import write_png

QUESTION = "What becomes of raw files of every format: the conventional start, and what the weights make of it?"
ACCELERATION = 4
REFERENCE = ConjugateGradientSENSE(iterations=10)
"""Of radial scans, from all spokes."""
METHODS = ("start", "i-RIM", "truth")
MADE = {
    "shepp_logan.h5": "ismrmrd_generate_cartesian_shepp_logan -m 128 -c 8 -a 2 -w 24 -n 0.01 -o shepp_logan.h5",
    "phantom.cfl": "bart phantom -k -s 8 -x 128 phantom",
}
"""File -> command that writes it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file and how it is read."""

    title: str
    file: str
    axes: str | None = None
    slice: int = 0
    """Which of several is looked at."""
    is_full: bool = False
    """Whether undersampling it leaves a truth to compare with; of radial scans every other spoke is left out."""


_RADIAL = "coil readouts samples"
ENTRIES = (
    Entry(title="Siemens twix: phantom, 2 coils", file="mr_raw/phantom_gre_2ch.dat", is_full=True),
    Entry(
        title="array: brain, 13 coils",
        file="mr_raw/brain_cart_13ch_vfa.npz",
        axes="slice coil ky kx",
        slice=2,
        is_full=True,
    ),
    Entry(title="array: brain, 8 coils, Poisson disc", file="mr_raw/brain_cart_8ch_poisson.npy", axes="coil ky kx"),
    Entry(title="radial: brain, 32 coils", file="mr_raw/brain_radial_32ch_64spk.npz", axes=_RADIAL, is_full=True),
    Entry(
        title="radial: brain, 5 coils",
        file="mr_raw/brain_radial_5ch_34spk_vfa.npz",
        axes=f"slice {_RADIAL}",
        slice=9,
        is_full=True,
    ),
    Entry(title="ISMRMRD: phantom, 8 coils", file="shepp_logan.h5"),
    Entry(title="BART: phantom, 8 coils", file="phantom.cfl", is_full=True),
)
Row = tuple[Entry, dict[str, Tensor], dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mr_raw")
    parser.add_argument("--weights", default="brain")
    parser.add_argument("--picture", type=Path, default=DOCS / "raw_files.png")
    options = parser.parse_args()
    require_folder(options.picture)
    model = load_model(options.weights)
    with tempfile.TemporaryDirectory() as made:
        make_files(Path(made))
        rows = list(reconstructed(model, (options.data, Path(made))))
    setting = {"weights": options.weights, "acceleration": ACCELERATION, "protocol": "fastmri"}
    print(write_results("raw_files", QUESTION, setting, {entry.title: facts for entry, _, facts in rows}))
    print(write_png(contact_sheet(rows), options.picture))


def make_files(folder: Path) -> None:
    """Let other people's programs write files, where they are installed."""
    for command in MADE.values():
        words = command.split()
        if shutil.which(words[0]) is None:
            print(f"{words[0]} is not installed: its file is left out", flush=True)
        else:
            subprocess.run(words, cwd=folder, check=True, capture_output=True)


def reconstructed(model: Solver, folders: Sequence[Path]) -> Iterator[Row]:
    """Reconstruct what is there; images are ``(1, y, x)``."""
    for entry in ENTRIES:
        path = next((folder / entry.file for folder in folders if (folder / entry.file).is_file()), None)
        if path is None:
            print(f"{entry.file} is not here: left out", flush=True)
            continue
        whole = part_of(open_scan(path, entry.axes).read(), slice(entry.slice, entry.slice + 1))
        images = {name: upright(image, whole.geometry) for name, image in images_of(model, whole, entry).items()}
        facts = {name: scores(images["truth"], images[name]) for name in METHODS[:2] if "truth" in images}
        print(entry.title, {name: score_in_words(s) for name, s in facts.items()}, flush=True)
        yield entry, images, facts


def images_of(model: Solver, whole: Acquisition, entry: Entry) -> dict[str, Tensor]:
    """The conventional start, the learned image, and the truth if there is one."""
    is_radial = whole.trajectory is not None
    start: Solver = ZeroFilled() if is_radial else ConjugateGradientSENSE()
    job = Job(out=Path(), acceleration=None if is_radial or not entry.is_full else ACCELERATION)
    scan: Scan = LoadedScan(half_of(whole) if is_radial and entry.is_full else whole)
    images = {"start": reconstruct_scan(start, scan, job)[0], "i-RIM": reconstruct_scan(model, scan, job)[0]}
    if entry.is_full:
        reference = REFERENCE if is_radial else ZeroFilled()
        images["truth"] = reconstruct_scan(reference, LoadedScan(whole), Job(out=Path()))[0]
    return images


def scores(truth: Tensor, image: Tensor) -> dict[str, float]:
    """Of the protocol, and the SSIM of the object alone."""
    expected, got = truth[0].double().numpy(), image[0].double().numpy()
    _, similarity = structural_similarity(expected, got, data_range=float(expected.max()), full=True)
    return {**evaluate_volume(truth, image), "ssim_of_object": float(similarity[object_in(expected)].mean())}


def object_in(truth: np.ndarray) -> np.ndarray:
    """Which pixels are not air."""
    smooth = gaussian(truth, sigma=2)
    mask: np.ndarray = binary_fill_holes(smooth > threshold_li(smooth))
    return mask


def score_in_words(facts: dict[str, float]) -> str:
    return f"PSNR {facts['psnr']:.1f} dB, SSIM {facts['ssim']:.3f}, of the object {facts['ssim_of_object']:.3f}"


def half_of(radial: Acquisition) -> Acquisition:
    """Every other spoke."""
    if radial.trajectory is None:
        raise OptionError(f"expected a radial scan, got {radial.name} on a grid. Undersample it by a mask.")
    return replace(radial, kspace=radial.kspace[:, :, ::2], trajectory=radial.trajectory[:, ::2])


def contact_sheet(rows: Sequence[Row]) -> Figure:
    """Draw a row for each file."""
    figure = Figure(figsize=(7.2, 2.5 * len(rows)), layout="constrained")
    for (entry, images, facts), line in zip(rows, figure.subplots(len(rows), len(METHODS)), strict=True):
        white = float(images["i-RIM"].quantile(0.995))
        for name, axes in zip(METHODS, line, strict=True):
            axes.set_axis_off()
            if name in images:
                axes.imshow(images[name][0].numpy(), cmap="gray", vmin=0, vmax=white)
                score = f"\n{score_in_words(facts[name])}" if name in facts else ""
                axes.set_title(f"{entry.title if name == 'start' else name}{score}", fontsize=7)
    return figure


if __name__ == "__main__":
    main()
