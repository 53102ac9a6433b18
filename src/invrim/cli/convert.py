"""invrim convert"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from invrim.cli.console import AXES, RAW_FILE, parser


def main(argv: Sequence[str]) -> None:
    p = parser("convert", "A raw file of any format in, one of another out, with all that is known of it.")
    p.add_argument("input", type=Path, metavar="IN", help=RAW_FILE)
    p.add_argument("output", type=Path, metavar="OUT", help="fastMRI .h5, BART .cfl, or .npz that names its own axes")
    p.add_argument("--axes", help=AXES)
    options = p.parse_args(argv)
    from invrim.data.conversion import convert_file

    header = convert_file(options.input, options.output, options.axes)
    matrix = " x ".join(map(str, header.matrix))
    print(f"{header.name} -> {options.output}: {header.slices} slices of {matrix}, coils: {header.coils}")
    for notice in header.notices:
        print(f"  {notice}")
