"""Quiet axes for curves: no box, light grid, small grey numbers."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from invrim.report.palette import MUTED, RULE


def new_axes(figure: Figure, place: tuple[float, float, float, float]) -> Axes:
    """Add axes at ``(left, bottom, width, height)``, parts of the figure."""
    axes = figure.add_axes(place)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=MUTED)
    axes.xaxis.label.set_color(MUTED)
    axes.xaxis.label.set_fontsize(9)
    return axes
