"""invrim inspect"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from invrim.cli.console import AXES, RAW_FILE, parser
from invrim.errors import InvrimError

if TYPE_CHECKING:
    from invrim.data.acquisition import Acquisition


def main(argv: Sequence[str]) -> None:
    p = parser("inspect", "Say what is in a raw file, draw it, and what a slice costs to reconstruct.")
    p.add_argument("file", type=Path, metavar="FILE", help=RAW_FILE)
    p.add_argument("--axes", help=AXES)
    p.add_argument("--picture", type=Path, help="where the picture goes; FILE's name with .png, here, if not given")
    p.add_argument("--weights", default="brain", help="weights to try on the middle slice")
    p.add_argument("--no-trial", action="store_true", help="do not reconstruct the middle slice")
    options = p.parse_args(argv)
    from invrim.data.inspection import inspect_file
    from invrim.report.inspection_figure import write_inspection

    inspection = inspect_file(options.file, options.axes)
    print(options.file)
    trial = [] if options.no_trial else [("cost", _cost(inspection.middle, options.weights))]
    for name, value in [*inspection.rows(), *trial]:
        print(f"  {name:13}{value}")
    print(f"  {'picture':13}{write_inspection(inspection, options.picture or Path(options.file.stem + '.png'))}")


def _cost(middle: Acquisition, weights: str) -> str:
    """Reconstruct the middle slice, and say what it took on this machine."""
    from invrim.data.scan import LoadedScan
    from invrim.models import load_model
    from invrim.planning.memory import growth_during
    from invrim.reconstruction import Job, reconstruct_scan

    model = load_model(weights)

    def work() -> None:
        reconstruct_scan(model, LoadedScan(middle), Job(out=Path()))

    began = time.perf_counter()
    try:
        grown = growth_during(work)
    except InvrimError as error:
        return f"the weights {weights} do not reconstruct it: {error}"
    seconds = time.perf_counter() - began
    return f"{seconds:.1f} s and {grown / 1e6:.0f} MB for the middle slice, by the weights {weights} on this CPU"
