"""invrim demo"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from invrim.cli.console import parser


def main(argv: Sequence[str]) -> None:
    p = parser("demo", "The whole story on this machine, in a few minutes, ending in a report.")
    p.add_argument("--out", type=Path, default=Path("invrim-demo"), help="folder of everything it makes")
    p.add_argument("--minutes", type=float, default=3.0, help="training time of the small i-RIM; 0 for none")
    p.add_argument("--weights", default="brain", help="a weights file, or the name of weights that ship")
    p.add_argument(
        "--raw", type=Path, nargs="+", default=[], metavar="FILE",
        help="add scans of your own: fully sampled fastMRI-schema files (.h5) with a target",
    )  # fmt: skip
    p.add_argument("--seed", type=int, default=0, help="of simulation and training")
    options = p.parse_args(argv)
    from invrim.demo.story import tell

    tell(options.out, minutes=options.minutes, weights=options.weights, raw=tuple(options.raw), seed=options.seed)
