"""invrim simulate"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from invrim.cli.console import parser, progress_bar


def main(argv: Sequence[str]) -> None:
    p = parser("simulate", "Simulate Cartesian scans of real volumes: phase, coils, noise, undersampling.")
    p.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="NIfTI volume (.nii, .nii.gz)")
    p.add_argument("--out", type=Path, required=True, help="folder of the raw files")
    p.add_argument("--acceleration", type=float, default=4.0, help="1 measures every line, without a mask")
    p.add_argument("--coils", type=int, default=1, help="receivers on a ring around the head")
    p.add_argument("--snr", type=float, default=30.0, help="mean magnitude of the object over the noise's deviation")
    p.add_argument("--plane", choices=("axial", "coronal", "sagittal"), default="axial", help="of the slices")
    p.add_argument("--every", type=int, default=1, help="take every n-th slice")
    p.add_argument(
        "--phase-encodes", type=int, choices=(1, 2), default=1,
        help="1: slices, columns left out; 2: a volume with its readout along the slices, points left out",
    )  # fmt: skip
    p.add_argument("--seed", type=int, default=0, help="of phase, coils and noise")
    options = p.parse_args(argv)
    from invrim.data.simulation import SliceChoice, simulate_file, simulated_path
    from invrim.files import require_separate

    require_separate([(image, simulated_path(image, options.out, options.plane)) for image in options.images])
    with progress_bar("simulating") as progress:
        for done, image in enumerate(options.images):
            path = simulate_file(
                image, options.out, plane=options.plane, coils=options.coils, acceleration=options.acceleration,
                snr=options.snr, seed=options.seed, choice=SliceChoice(every=options.every),
                phase_encodes=options.phase_encodes,
            )  # fmt: skip
            progress(done + 1, len(options.images))
            print(f"{image.name} -> {path}")
