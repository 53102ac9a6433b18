"""Write the measured numbers into the README: no table there is typed by hand.

    python docs/fill_tables.py            # rewrite README.md
    python docs/fill_tables.py --check    # exit 1 if it is not up to date

Reads ``benchmarks/results/quality.json``, ``{"protocol": NAME, "rows": [{COLUMN: VALUE, ...}, ...]}``, and
``depth.json``, ``{"rows": [{"mode":, "blocks":, "peak_bytes":, "seconds":}, ...]}``. Other fields are left to others.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
Rows = list[dict[str, Any]]

FORMATS = {"nmse": ".4f", "psnr": ".2f", "ssim": ".4f", "seconds": ".2f", "acceleration": "g"}
"""How a column is printed; others as they are."""
HEADINGS = {"nmse": "NMSE", "psnr": "PSNR (dB)", "ssim": "SSIM", "seconds": "seconds"}


def quality_table(result: dict[str, Any]) -> str:
    """One line a row of the file, its columns in their order; the protocol's name below."""
    rows: Rows = result["rows"]
    columns = list(rows[0])
    head = [HEADINGS.get(name, name) for name in columns]
    body = [[_cell(name, row.get(name)) for name in columns] for row in rows]
    return f"{_table(head, body)}\n\nProtocol: `{result['protocol']}`."


def depth_table(result: dict[str, Any]) -> str:
    """Peak memory of a training step, one line a mode, one column a depth."""
    rows: Rows = result["rows"]
    depths = sorted({row["blocks"] for row in rows})
    peaks = {(row["mode"], row["blocks"]): row["peak_bytes"] for row in rows}
    head = ["peak memory of a training step", *(f"{depth:,} blocks" for depth in depths)]
    body = [
        [f"`{mode}`", *(_megabytes(peaks.get((mode, depth))) for depth in depths)]
        for mode in dict.fromkeys(row["mode"] for row in rows)
    ]
    return _table(head, body)


REGIONS: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "table": ("quality.json", quality_table),
    "depth": ("depth.json", depth_table),
}
"""Marker -> file that fills it, and how."""


def filled(text: str, results: Path = RESULTS) -> str:
    """Replace what stands between the markers ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``."""
    for marker, (file, table) in REGIONS.items():
        path = results / file
        content = table(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else _not_measured(file)
        region = re.compile(rf"(<!-- {marker}:begin -->\n).*?(<!-- {marker}:end -->)", re.DOTALL)
        text, count = region.subn(lambda found, content=content: f"{found[1]}{content}\n{found[2]}", text)
        if count != 1:
            raise SystemExit(f"README.md: expected one region {marker!r}, got {count}. Restore its two markers.")
    return text


def _not_measured(file: str) -> str:
    return f"*Not measured yet: `make bench` writes `benchmarks/results/{file}`.*"


def _cell(name: str, value: Any) -> str:
    return "n/a" if value is None else format(value, FORMATS.get(name, ""))


def _megabytes(count: float | None) -> str:
    if count is None:
        return "n/a"
    return f"{count / 1e6:.3g} MB" if count < 1e9 else f"{count / 1e9:.3g} GB"


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Rewrite the README, or check it."""
    old = README.read_text(encoding="utf-8")
    new = filled(old)
    if "--check" in sys.argv[1:]:
        sys.exit("README.md is not up to date. Run `python docs/fill_tables.py`." if new != old else 0)
    README.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
