"""Write the measured numbers into the README and the pages of ``docs``: no table there is typed by hand.

    python docs/fill_tables.py            # rewrite them
    python docs/fill_tables.py --check    # exit 1 if one is not up to date

Reads what the benchmarks wrote to ``benchmarks/results``.
"""

from __future__ import annotations

import json
import re
import statistics
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


def untrained_table(result: dict[str, Any]) -> str:
    """Inversion and gradient error in float32, one line a layer, one column a depth."""
    jobs = _jobs(result, "initialisation")
    depths = sorted({job["depth"] for job in jobs})
    body = [
        [label, *(_pair([job for job in jobs if (job["layer"], job["depth"]) == (layer, depth)]) for depth in depths)]
        for layer, label in result["setting"]["labels"].items()
    ]
    head = ["untrained, float32", *(f"{depth:,} layers" for depth in depths)]
    return f"{_table(head, body)}\n\nInversion error / gradient error, medians over seeds; {_origin(result)}."


def precision_table(result: dict[str, Any]) -> str:
    """Errors of one seed at the depth of the long trainings, one line a layer and precision."""
    (depth,) = {job["depth"] for job in _jobs(result, "long")}
    keys = ("inversion_error", "gradient_error", "stored_gradient_error")
    body = [
        [result["setting"]["labels"][job["layer"]], errors["precision"], *(_error(errors[key]) for key in keys)]
        for job in _jobs(result, "initialisation")
        if (job["depth"], job["seed"]) == (depth, 0)
        for errors in job["errors"]
    ]
    title = f"untrained, {depth:,} layers"
    return _table([title, "precision", "inversion error", "gradient error", "stored activations"], body)


def gain_table(result: dict[str, Any]) -> str:
    """Where our own layer breaks: errors against the gain of its nets."""
    jobs = _jobs(result, "gain")
    body = []
    for gain in sorted({job["gain"] for job in jobs}):
        at = [job for job in jobs if job["gain"] == gain]
        cells = [_median(at, index, key) for index in (0, 1) for key in ("inversion_error", "gradient_error")]
        body.append([f"{gain:g}", *cells, _median(at, 0, "stored_gradient_error")])
    head = ["gain", "float32: inversion", "gradient", "exact: inversion", "gradient", "plain autograd: gradient"]
    return _table(head, body)


def training_table(result: dict[str, Any]) -> str:
    """How the long trainings ended, and the errors at the weights that plain autograd reached."""
    body = [
        [
            result["setting"]["labels"][job["layer"]],
            *(f"{job[key]:g}" for key in ("gain", "rate")),
            *(_end(job[mode], job["steps"]) for mode in ("store", "invert")),
            *(_error(job["errors"][0][key]) for key in ("inversion_error", "gradient_error")),
        ]
        for job in _jobs(result, "long")
    ]
    head = ["layer", "gain", "rate", "loss, stored", "loss, by inversion", "inversion error", "gradient error"]
    return _table(head, body)


def trained_table(result: dict[str, Any]) -> str:
    """Errors after short trainings, one line a layer, one column a depth."""
    jobs = _jobs(result, "short")
    depths = sorted({job["depth"] for job in jobs})
    body = []
    for layer, label in result["setting"]["labels"].items():
        at = [[job for job in jobs if (job["layer"], job["depth"]) == (layer, depth)] for depth in depths]
        body.append([label, *map(_pair_and_failures, at)])
    return _table(["after training, float32", *(f"{depth:,} layers" for depth in depths)], body)


def _jobs(result: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [job for job in result["results"]["jobs"] if job["kind"] == kind]


def _pair(jobs: list[dict[str, Any]]) -> str:
    return f"{_median(jobs, 0, 'inversion_error')} / {_median(jobs, 0, 'gradient_error')}"


def _pair_and_failures(jobs: list[dict[str, Any]]) -> str:
    """Append how many trainings diverged, with activations stored and by inversion."""
    ended = [sum(job[mode]["diverged_at"] is not None for job in jobs) for mode in ("store", "invert")]
    return f"{_pair(jobs)}; diverged {ended[0]}, {ended[1]} of {len(jobs)}"


def _median(jobs: list[dict[str, Any]], precision: int, key: str) -> str:
    found = [job["errors"][precision][key] for job in jobs]
    return _error(statistics.median(float("inf") if error is None else error for error in found))


def _error(value: float | None) -> str:
    if value is None or value == float("inf"):
        return "not finite"
    return f"{value:.1e}" if value else "0"


def _end(run: dict[str, Any], steps: int) -> str:
    if run["diverged_at"] is not None:
        return f"diverged at step {run['diverged_at']}"
    return f"{run['loss'][0]:.4f} → {run['final_loss']:.4f} in {steps}"


def _origin(result: dict[str, Any]) -> str:
    provenance = result["provenance"]
    return f"measured {provenance['date'][:10]} on {provenance['processor']}, torch {provenance['torch']}"


Regions = dict[str, tuple[str, Callable[[dict[str, Any]], str]]]
"""Marker -> file that fills it, and how."""
REGIONS: Regions = {
    "table": ("quality.json", quality_table),
    "depth": ("depth.json", depth_table),
}
PAGES: dict[Path, Regions] = {
    README: REGIONS,
    ROOT / "docs" / "stability.md": {
        "untrained": ("stability.json", untrained_table),
        "precision": ("stability.json", precision_table),
        "training": ("stability.json", training_table),
        "trained": ("stability.json", trained_table),
        "gain": ("stability.json", gain_table),
    },
}


def filled(text: str, results: Path = RESULTS, regions: Regions = REGIONS) -> str:
    """Replace what stands between the markers ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``."""
    for marker, (file, table) in regions.items():
        path = results / file
        content = table(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else _not_measured(file)
        region = re.compile(rf"(<!-- {marker}:begin -->\n).*?(<!-- {marker}:end -->)", re.DOTALL)
        text, count = region.subn(lambda found, content=content: f"{found[1]}{content}\n{found[2]}", text)
        if count != 1:
            raise SystemExit(f"expected one region {marker!r} on the page, got {count}. Restore its two markers.")
    return text


def _not_measured(file: str) -> str:
    return f"*Not measured yet: `make bench` writes `benchmarks/results/{file}`.*"


def _megabytes(count: float) -> str:
    return f"{count / 1e6:.3g} MB" if count < 1e9 else f"{count / 1e9:.3g} GB"


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Rewrite the pages, or check them."""
    for page, regions in PAGES.items():
        old = page.read_text(encoding="utf-8")
        new = filled(old, regions=regions)
        if "--check" in sys.argv[1:] and new != old:
            sys.exit(f"{page.name} is not up to date. Run `python docs/fill_tables.py`.")
        if new != old:
            page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
