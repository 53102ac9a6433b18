"""invrim evaluate"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from invrim.cli.console import parser


def main(argv: Sequence[str]) -> None:
    p = parser("evaluate", "Compare reconstructions with targets, volume by volume, under a named protocol.")
    p.add_argument("--targets", type=Path, required=True, help="folder of raw files that hold their targets")
    p.add_argument("--predictions", type=Path, required=True, help="folder of reconstructions of the same names")
    p.add_argument("--protocol", default="fastmri", help="which definitions of the metrics")
    p.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = p.parse_args(argv)
    from rich.console import Console

    from invrim.evaluation import evaluate_folders, evaluation_table, write_evaluation
    from invrim.files import require_folder

    if options.json is not None:
        require_folder(options.json)
    console = Console()
    evaluation = evaluate_folders(options.targets, options.predictions, options.protocol, progress=console.is_terminal)
    console.print(evaluation_table(evaluation))
    if options.json is not None:
        print(f"-> {write_evaluation(evaluation, options.json)}")
