"""invrim reconstruct"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from invrim.cli.console import AXES, RAW_FILE, device_of, parser, progress_bar
from invrim.errors import InvrimError, OptionError


def main(argv: Sequence[str]) -> None:
    options = _parser().parse_args(argv)
    from invrim.models import load_model
    from invrim.reconstruction import Job, reconstruct_file, require_separate_results

    job = Job(
        out=options.out,
        acceleration=options.acceleration,
        batch=options.batch,
        also=tuple(options.also),
        axes=options.axes,
        maps=options.maps,
        prewhiten=options.prewhitening,
        weights=Path(options.weights).name,
    )
    require_separate_results(options.inputs, job)
    model = load_model(options.weights, device=device_of(options.device))
    failed = []
    for path in _shard(options.inputs, options.shard):
        if options.skip_existing and all(result.exists() for result in job.outputs(path).values()):
            print(f"{path.name}: already there")
            continue
        try:
            with progress_bar(path.name) as progress:
                written = reconstruct_file(model, path, job, progress, lambda text: print(f"  notice: {text}"))
        except InvrimError as error:
            if len(options.inputs) == 1:
                raise
            failed.append(path.name)
            print(f"{path.name}: {error}")
            continue
        print(f"{path.name} -> {written}")
    if failed:
        raise OptionError(f"{len(failed)} of {len(options.inputs)} files failed: {', '.join(failed)}. See above.")


def _parser() -> argparse.ArgumentParser:
    p = parser("reconstruct", "Raw files in, one HDF5 file of images each out.")
    p.add_argument("inputs", type=Path, nargs="+", metavar="IN", help=RAW_FILE)
    p.add_argument("--axes", help=AXES)
    p.add_argument("--out", type=Path, required=True, help="folder of the results")
    p.add_argument("--weights", default="brain", help="a weights file, or the name of weights that ship")
    p.add_argument("--acceleration", type=float, help="undersample fully sampled files first, as an experiment")
    p.add_argument("--maps", default="calibration", help="coil maps by: calibration, adaptive or espirit")
    p.add_argument(
        "--no-prewhitening", dest="prewhitening", action="store_false", help="leave the coils' noise as it is"
    )
    p.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto is cuda where there is one")
    p.add_argument("--batch", type=int, help="slices at a time (4); of a 3D model, slices of a slab (32)")
    p.add_argument(
        "--also", nargs="+", default=[], metavar="KIND", help="further results: nifti dicom cfl png zero-filled"
    )
    p.add_argument("--shard", default="0/1", metavar="i/n", help="only the i-th of n equal parts, i from 0")
    p.add_argument("--skip-existing", action="store_true", help="leave results alone that are there already")
    return p


def _shard(paths: Sequence[Path], shard: str) -> Sequence[Path]:
    number, _, count = shard.partition("/")
    if not (number.isdigit() and count.isdigit() and int(number) < int(count)):
        raise OptionError(f"expected --shard i/n with i from 0 to n - 1, got {shard!r}. Write e.g. 0/4.")
    return paths[int(number) :: int(count)]
