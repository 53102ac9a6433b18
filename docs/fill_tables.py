"""Write the measured numbers into the README: no table there is typed by hand.

    python docs/fill_tables.py            # rewrite README.md
    python docs/fill_tables.py --check    # exit 1 if it is not up to date

Reads what `benchmarks/quality.py` and `benchmarks/depth.py` wrote to ``benchmarks/results``.
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
SCANS = {
    "test": "unseen subject, simulated, one coil",
    "real": "real scan, 13 coils",
}
"""Folder that was scored -> what the reader calls it."""


def quality_table(result: dict[str, Any]) -> str:
    """One line a scan, acceleration and method."""
    head = ["scan", "acceleration", "method", "NMSE", "PSNR (dB)", "SSIM"]
    body = []
    for label, methods in result["results"].items():
        scan, _, acceleration = label.rpartition(" ")
        for method, scores in methods.items():
            mean = scores["per_volume"]["mean"]
            figures = [f"{mean['nmse']:.4f}", f"{mean['psnr']:.2f}", f"{mean['ssim']:.3f}"]
            body.append([SCANS.get(scan, scan), acceleration, method, *figures])
    return f"{_table(head, body)}\n\nProtocol `{result['setting']['protocol']}`; {_origin(result)}."


def depth_table(result: dict[str, Any]) -> str:
    """Peak memory of a training step, one line a mode, one column a depth."""
    measured = result["results"]
    head = ["peak memory of a training step", *(f"{depth:,} blocks" for depth in measured["depths"])]
    body = [[f"`{mode}`", *map(_megabytes, peaks)] for mode, peaks in measured["peak_bytes"].items()]
    state = _megabytes(measured["state_bytes"])
    return f"{_table(head, body)}\n\nState of {state}, each number from a fresh process; {_origin(result)}."


def _origin(result: dict[str, Any]) -> str:
    provenance = result["provenance"]
    return f"measured {provenance['date'][:10]} on {provenance['processor']}, torch {provenance['torch']}"


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


def _megabytes(count: float) -> str:
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
