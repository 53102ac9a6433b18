"""What every script that draws the results of a benchmark does around its figure."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from envelope import RESULTS
from invrim.report.picture import write_png

DOCS = Path(__file__).resolve().parents[1] / "docs"


def draw(description: str | None, name: str, figure: Callable[[dict[str, Any]], Figure]) -> None:
    """Draw ``NAME.json`` as ``NAME.png``, or what the command line names, and print where."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS / f"{name}.json")
    parser.add_argument("--out", type=Path, default=DOCS / f"{name}.png")
    options = parser.parse_args()
    print(write_png(figure(json.loads(options.results.read_text(encoding="utf-8"))), options.out))
