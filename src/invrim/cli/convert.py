"""invrim convert"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from invrim.cli.console import AXES, RAW_FILE, parser


def main(argv: Sequence[str]) -> None:
    p = parser("convert", "One raw format in, another out.")
    p.add_argument("file", type=Path, metavar="IN", help=RAW_FILE)
    p.add_argument("out", type=Path, metavar="OUT", help="fastMRI .h5, BART .cfl, or .npz that names its own axes")
    p.add_argument("--axes", help=AXES)
    options = p.parse_args(argv)
    from invrim.data.formats.conversion import convert_file

    left_out = convert_file(options.file, options.out, options.axes)
    print(f"{options.file.name} -> {options.out}")
    for part in left_out:
        print(f"  left out, for the format has no place for it: {part}")
