"""invrim reconstruct"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from invrim.cli.console import AXES, RAW_FILE, device_of, parser, progress_bar
from invrim.errors import OptionError

if TYPE_CHECKING:
    from invrim.reconstruction import Job, Outcome

_NAMED = 10
"""Failed files that the last line names; the others have a status."""


def main(argv: Sequence[str]) -> None:
    options = _parser().parse_args(argv)
    from invrim.data.formats.opening import find_scans, needs_axes
    from invrim.reconstruction import Job, Shard, require_separate_results

    shard = Shard.parse(options.shard)
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
    scans = find_scans(options.inputs)
    require_separate_results(scans, job)
    if options.axes is not None and not any(needs_axes(scan) for scan in scans):
        raise OptionError(f"expected --axes for arrays only, got {options.axes!r} and no array. Drop it.")
    chosen = shard.of(scans)
    is_one = scans == options.inputs and len(scans) == 1
    start, outcomes = time.perf_counter(), []
    with progress_bar("reconstruct") as progress:
        for outcome in _outcomes(options, job, chosen, str(shard), progress):
            outcomes.append(outcome)
            if outcome.status != "not tried" and not (is_one and outcome.error):  # that is the command's own, below
                print(_line(outcome), flush=True)
    if is_one:
        _require_no_error(outcomes)
        return
    print(_summary(outcomes, f"shard {shard}, " if shard.count > 1 else "", time.perf_counter() - start))
    _require_all(outcomes, job.out)


def _outcomes(
    options: argparse.Namespace, job: Job, scans: Sequence[Path], shard: str, progress: Callable[..., None]
) -> Iterable[Outcome]:
    if options.ray is not None:
        from invrim.reconstruction.on_ray import reconstruct_on_ray

        return reconstruct_on_ray(
            options.weights, scans, job, address=options.ray, workers=options.ray_workers,
            device=options.device, skip_existing=options.skip_existing, shard=shard,
        )  # fmt: skip
    from invrim.models import load_model
    from invrim.reconstruction import reconstruct_archive

    return reconstruct_archive(
        load_model(options.weights, device=device_of(options.device)), scans, job,
        skip_existing=options.skip_existing, shard=shard,
        on_progress=lambda path, done, total: progress(done, total, path.name),
        on_notice=lambda path, text: print(f"{path.name}: notice: {text}"),
    )  # fmt: skip


def _line(outcome: Outcome) -> str:
    if outcome.status == "reconstructed":
        return f"{outcome.path.name} -> {outcome.result}"
    return outcome.reason or f"{outcome.path.name}: {outcome.status}"


def _summary(outcomes: Sequence[Outcome], shard: str, seconds: float) -> str:
    counts = Counter(outcome.status for outcome in outcomes)
    parts = [f"{counts[status]} {status}" for status in ("reconstructed", "already there", "failed")]
    parts += [f"{counts['not tried']} not tried"] if counts["not tried"] else []
    return f"{', '.join(parts)} of {len(outcomes)} files ({shard}{seconds:.1f} s)"


def _require_no_error(outcomes: Sequence[Outcome]) -> None:
    """Of a single file its own error is the command's."""
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


def _require_all(outcomes: Sequence[Outcome], out: Path) -> None:
    from invrim.reconstruction import STATUS

    failed = [outcome.path.name for outcome in outcomes if outcome.status in {"failed", "not tried"}]
    if failed:
        more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        raise OptionError(
            f"{len(failed)} of {len(outcomes)} files have no result: {', '.join(failed[:_NAMED])}{more}. See above, or "
            f"{out / STATUS}; --skip-existing tries these alone."
        )


def _parser() -> argparse.ArgumentParser:
    p = parser("reconstruct", "Raw files in, one HDF5 file of images each out.")
    p.add_argument("inputs", type=Path, nargs="+", metavar="IN", help=f"{RAW_FILE}; a folder: all of these in it")
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
    p.add_argument(
        "--shard", default="0/1", metavar="i/n",
        help="only the i-th of n equal parts, i from 0; slurm: this task's of its job array",
    )  # fmt: skip
    p.add_argument(
        "--skip-existing", action="store_true",
        help="leave results alone that are complete, and of the same file, weights and options",
    )  # fmt: skip
    p.add_argument("--ray", metavar="ADDRESS", help="share the files among a Ray cluster's machines: auto, local, ...")
    p.add_argument("--ray-workers", type=int, default=1, metavar="N", help="models at work on the cluster")
    return p
