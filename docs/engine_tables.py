"""The tables of docs/engine.md."""

from __future__ import annotations

import statistics
from math import ceil
from typing import Any

from measured import megabytes, origin, table

NAMES = {"2d-stride1": "2D, stride 1", "2d-stride2": "2D, stride 2", "3d": "3D"}


def engines_table(result: dict[str, Any]) -> str:
    """One line an engine, size and precision: time and peak memory at every depth."""
    measurements = result["results"]["measurements"]
    depths = sorted({found["depth"] for found in measurements})
    lines: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = {}
    for found in measurements:
        lines.setdefault((found["size"], found["precision"], found["engine"]), {})[found["depth"]] = found
    columns = [f"{what}, {depth} blocks" for what in ("time", "peak") for depth in depths]
    body = []
    for (size, precision, engine), by_depth in lines.items():
        if engine == "published-float32" or any("unavailable" in found for found in by_depth.values()):
            continue  # "published" in float32 is the same
        cells = [show(by_depth.get(depth, {})) for show in (_time, _peak) for depth in depths]
        body.append([NAMES[size], precision, f"`{engine}`", *cells])
    head = ["size", "nets", "engine", *columns]
    return f"{table(head, body)}\n\n{_differences(measurements)} {_versions(result)}; {origin(result)}."


def _differences(measurements: list[dict[str, Any]]) -> str:
    """How far outputs are from those of the published form."""
    far = {}
    for found in measurements:
        if found["precision"] == "float32" and "errors" in found:
            far[found["engine"]] = max(far.get(found["engine"], 0.0), found["errors"]["output"])
    said = ", ".join(f"`{engine}` {far[engine]:.1e}" for engine in ("store", "invert", "exact"))
    return f"Largest relative distance of outputs from those of `published`, nets in float32: {said}."


def engine_sentence(result: dict[str, Any]) -> str:
    """What inversion costs and saves in 2D, in a sentence a stride."""
    found = {
        (row["size"], row["precision"], row["engine"]): row
        for row in result["results"]["measurements"]
        if row["depth"] == 32
    }
    parts = []
    for size in ("2d-stride1", "2d-stride2"):
        plain, inverted = found[size, "float32", "published"], found[size, "float32", "invert"]
        low = found.get((size, "bf16", "invert"))
        in_bf16 = f" ({_time(low)} with bf16 nets)" if low else ""
        parts.append(
            f"at {NAMES[size].removeprefix('2D, ')} {_time(inverted)} of its time{in_bf16} and "
            f"{megabytes(inverted['peak_bytes'])} in place of {megabytes(plain['peak_bytes'])}"
        )
    what = "Where plain autograd trains 32 published blocks of 64 channels, 128 x 128 pixels, inversion takes"
    where = "see [the engine's page](docs/engine.md#measured)"
    return f"{what} {', '.join(parts)}; {where}; {origin(result)}."


def heap_table(result: dict[str, Any]) -> str:
    """One line a way to take memory for gradients, medians over starts."""
    measured = result["results"]
    head = ["gradients are taken", *(f"{depth:,} blocks" for depth in measured["depths"])]
    body = [
        [way, *(megabytes(statistics.median(starts)) for starts in by_depth)]
        for way, by_depth in measured["grown_bytes"].items()
    ]
    what = f"State of {megabytes(measured['state_bytes'])}, medians of {result['setting']['starts']} starts"
    return f"{table(head, body)}\n\n{what}; {origin(result)}."


def budget_table(result: dict[str, Any]) -> str:
    """One line a budget."""
    body = [
        [megabytes(row["budget"]), megabytes(row["peak"]), f"{row['time_ratio_to_store']:.2f}"]
        for row in result["results"]
    ]
    setting = result["setting"]
    what = f"{setting['depth']} blocks, state ({setting['channels']}, {setting['size']}, {setting['size']})"
    head = ["budget", "measured peak", 'time, relative to `"store"`']
    return f"{table(head, body)}\n\n{what}; {origin(result)}."


def tiles_table(result: dict[str, Any]) -> str:
    """One line a chain and number of blocks: peak and time whole, in strips or slabs, and in given tiles."""
    cases = result["results"]["cases"]
    body = []
    for row in result["results"]["measurements"]:
        case, peaks, times = cases[row["case"]], row["peak_states"], row["time_ratios"]
        state = f"{case['channels']} x {_by(case['space'])}, stride {case['stride']}{', bf16' if case['bf16'] else ''}"
        tiles = {"whole": "`None`", "auto": f'`"auto"`: {_count(row["strips"])}', "given": f"`{case['tile']}`"}
        for key, at in peaks.items():
            for blocks, peak in at.items():
                line = [state, f"`{row['mode']}`", tiles[key], f"{int(blocks):,}", f"{peak:.2f}", f"{times[key]:.2f}"]
                body.append(line)
    head = ["state", "mode", "tile", "blocks", "peak", "time"]
    what = "Peaks in states, time relative to `store`"
    return f"{table(head, body)}\n\n{what}; {origin(result)}."


def _count(strips: dict[str, int]) -> str:
    """Strips, or slabs of a single one."""
    for size, parts in (("thickness", "strips"), ("slab", "slabs")):
        count = ceil(strips["cells"] / strips[size])
        if count > 1:
            return f"{count} {parts}"
    return "1 slab"


def _by(sizes: list[int]) -> str:
    return " x ".join(str(n) for n in sizes)


def _time(found: dict[str, Any]) -> str:
    """Relative to plain autograd of the published form, with nets in float32."""
    if "ratio" not in found:
        return "-"
    flag = "" if found.get("within_tolerance", True) else ", wrong gradients"
    ratio = found["ratio"] if found["precision"] == "float32" else found["ratio_to_float32"]
    return f"{ratio:.2f}{flag}"


def _peak(found: dict[str, Any]) -> str:
    return megabytes(found["peak_bytes"]) if "peak_bytes" in found else "-"


def _versions(result: dict[str, Any]) -> str:
    versions = {name: version for name, version in result["versions"].items() if version is not None}
    peers = [f"{name} {versions[name]}" for name in ("memcnn", "invtorch", "revtorch", "revlib") if name in versions]
    return ", ".join(peers) or "No other library took part"
