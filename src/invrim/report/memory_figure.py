"""Peak memory against depth, on linear axes: a line that rises beside lines that do not."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from invrim.report.axes import new_axes
from invrim.report.palette import ACCENT, INK, OTHERS, TALL, WIDE
from invrim.report.story import MemoryCurve

UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
CLEARANCE = 0.075
"""Least distance of two labels, as a part of the axis."""
FLAT = 1.1
"""Growth over the whole range that still counts as constant and is drawn in the accent colour."""


def memory_figure(curve: MemoryCurve, *, tall: bool = False) -> Figure:
    """Draw one line a mode, its name at its end.

    Linear, not logarithmic: on logarithmic axes growth is a slope among slopes, here it leaves the page.
    """
    figure = Figure(figsize=(TALL, 3.4) if tall else (WIDE, 4.0))
    axes = new_axes(figure, (0.13, 0.15, 0.46, 0.78) if tall else (0.07, 0.13, 0.7, 0.82))
    scale, unit = unit_of(max(max(values) for values in curve.bytes.values()))
    colours = _colours(curve)
    for mode, values in curve.bytes.items():
        axes.plot(curve.depths, [v / scale for v in values], "o-", color=colours[mode], lw=2, ms=4.5, clip_on=False)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlim(0, max(curve.depths))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("depth: invertible blocks")
    axes.set_title(f"peak memory of a training step ({unit})", loc="left", fontsize=9.5, color=INK)
    _label_ends(axes, curve, scale, colours)
    return figure


def format_bytes(count: float) -> str:
    """Print with three digits and a decimal unit."""
    scale, unit = unit_of(count)
    return f"{count / scale:.3g} {unit}"


def unit_of(count: float) -> tuple[float, str]:
    """Largest unit that leaves at least 1; 1 GB is 10^9 bytes."""
    return next(((scale, unit) for scale, unit in UNITS if count >= scale), UNITS[-1])


def growth(values: Sequence[float]) -> float:
    """How many times the deepest needs of the shallowest."""
    return values[-1] / max(values[0], 1)


def _colours(curve: MemoryCurve) -> dict[str, str]:
    others = iter(OTHERS * len(curve.bytes))
    return {mode: ACCENT if growth(values) < FLAT else next(others) for mode, values in curve.bytes.items()}


def _label_ends(axes: Axes, curve: MemoryCurve, scale: float, colours: dict[str, str]) -> None:
    top = axes.get_ylim()[1]
    ends = {mode: values[-1] / scale / top for mode, values in curve.bytes.items()}
    for mode, height in spread_apart(ends, CLEARANCE).items():
        label = f"{mode}  {format_bytes(curve.bytes[mode][-1])}"
        axes.text(
            1.04,
            height,
            label,
            color=colours[mode],
            fontsize=9,
            fontweight="bold",
            va="center",
            transform=axes.transAxes,
        )


def spread_apart(heights: dict[str, float], clearance: float) -> dict[str, float]:
    """Move labels up until no two overlap, from the lowest on."""
    placed: dict[str, float] = {}
    below = -clearance
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        below = placed[name] = max(height, below + clearance)
    return placed
