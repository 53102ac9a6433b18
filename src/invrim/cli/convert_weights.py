"""invrim convert-weights"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from invrim.cli.console import parser


def main(argv: Sequence[str]) -> None:
    p = parser("convert-weights", "A checkpoint of the code released with the i-RIM in 2019 in, our weights out.")
    p.add_argument("input", type=Path, metavar="IN", help="PyTorch checkpoint, e.g. best_model.pt; no code in it runs")
    p.add_argument("output", type=Path, metavar="OUT", help="weights file for `invrim reconstruct --weights OUT`")
    options = p.parse_args(argv)
    from invrim.files import require_separate
    from invrim.models import read_released, save_model

    require_separate([(options.input, options.output)])
    model = read_released(options.input)
    save_model(model, options.output, recipe={"converted_from": options.input.name})
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{options.input.name} -> {options.output}: {type(model).__name__} of {size:,} parameters")
