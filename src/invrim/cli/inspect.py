"""invrim inspect"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from invrim.cli.console import AXES, RAW_FILE, parser


def main(argv: Sequence[str]) -> None:
    p = parser("inspect", "Say what is in a raw file, and draw it.")
    p.add_argument("file", type=Path, metavar="FILE", help=RAW_FILE)
    p.add_argument("--axes", help=AXES)
    p.add_argument("--picture", type=Path, help="where the picture goes; FILE's name with .png, here, if not given")
    options = p.parse_args(argv)
    from invrim.data.inspection import inspect_file
    from invrim.report.inspection_figure import write_inspection

    inspection = inspect_file(options.file, options.axes)
    print(options.file)
    for name, value in inspection.rows():
        print(f"  {name:13}{value}")
    print(f"  {'picture':13}{write_inspection(inspection, options.picture or Path(options.file.stem + '.png'))}")
