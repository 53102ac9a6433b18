"""invrim evaluate"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from invrim.cli.console import parser

PROTOCOLS = "fastmri, volume, slice, calgary, cmrxrecon"


def main(argv: Sequence[str]) -> None:
    p = parser("evaluate", "Compare reconstructions with targets, volume by volume, under a named protocol.")
    p.add_argument("--targets", type=Path, required=True, help="folder of raw files that hold their targets")
    p.add_argument("--predictions", type=Path, required=True, help="folder of reconstructions of the same names")
    p.add_argument("--protocol", default="fastmri", help=f"definitions of the metrics: {PROTOCOLS}, or all of them")
    p.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = p.parse_args(argv)
    from rich.console import Console

    from invrim import evaluation
    from invrim.files import require_folder

    if options.json is not None:
        require_folder(options.json)
    console = Console()
    folders = options.targets, options.predictions
    if options.protocol == evaluation.ALL:
        found = evaluation.evaluate_side_by_side(*folders, progress=console.is_terminal)
        console.print(evaluation.side_by_side_table(found))
        print("\n".join(evaluation.reasons(found)))
        write = partial(evaluation.write_side_by_side, found)
    else:
        scores = evaluation.evaluate_folders(*folders, options.protocol, progress=console.is_terminal)
        console.print(evaluation.evaluation_table(scores))
        write = partial(evaluation.write_evaluation, scores)
    if options.json is not None:
        print(f"-> {write(options.json)}")
