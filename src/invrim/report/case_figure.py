"""A case as one figure: on a laptop methods stand side by side, on a phone under each other."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from invrim.report.palette import FRAME, INK, MUTED, PAPER, TALL, WIDE
from invrim.report.panels import Column, Panel, columns_of
from invrim.report.story import Case

GAP = 0.06
HEADER = 0.5
"""Inches above a method's panels for its name and scores."""
VIEWS = 3


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Where panels stand, in inches from the top left."""

    width: float
    cell: tuple[float, float]
    methods: int
    tall: bool

    @property
    def height(self) -> float:
        across = self.cell[1] + GAP
        return self.methods * (HEADER + across) if self.tall else HEADER + VIEWS * across

    def header(self, method: int) -> tuple[float, float]:
        if self.tall:
            return 0.0, method * (HEADER + self.cell[1] + GAP)
        return method * (self.cell[0] + GAP), 0.0

    def panel(self, method: int, view: int) -> tuple[float, float]:
        left, top = self.header(method)
        if self.tall:
            return left + view * (self.cell[0] + GAP), top + HEADER
        return left, top + HEADER + view * (self.cell[1] + GAP)


def case_figure(case: Case, *, tall: bool = False) -> Figure:
    """Draw image, detail and error of target and methods, all in the same grey scale.

    Parameters
    ----------
    tall
        One method a row, for narrow screens; else one method a column.
    """
    columns = columns_of(case)
    grid = _layout(len(columns), case.target.shape[0] / case.target.shape[1], tall)
    figure = Figure(figsize=(grid.width, grid.height), facecolor=PAPER)
    for index, column in enumerate(columns):
        _draw_header(figure, grid, grid.header(index), column)
        for view, panel in enumerate(column.panels):
            _draw_panel(_axes(figure, grid, grid.panel(index, view)), panel)
    return figure


def _layout(methods: int, aspect: float, tall: bool) -> _Grid:
    width, across = (TALL, VIEWS) if tall else (WIDE, methods)
    cell = (width - (across - 1) * GAP) / across
    return _Grid(width=width, cell=(cell, cell * aspect), methods=methods, tall=tall)


def _axes(figure: Figure, grid: _Grid, corner: tuple[float, float]) -> Axes:
    (left, top), (width, height) = corner, grid.cell
    bottom = 1 - (top + height) / grid.height
    axes = figure.add_axes((left / grid.width, bottom, width / grid.width, height / grid.height))
    axes.set_axis_off()
    return axes


def _draw_header(figure: Figure, grid: _Grid, corner: tuple[float, float], column: Column) -> None:
    left, top = corner[0] / grid.width, corner[1]
    name, scores = (1 - (top + down) / grid.height for down in (0.25, 0.43))
    figure.text(left, name, column.name, fontsize=11, fontweight="bold", color=INK)
    figure.text(left, scores, column.scores, fontsize=8.8, color=MUTED)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    axes.imshow(panel.grey, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation=panel.interpolation)
    if panel.frame:
        rows, columns = panel.frame
        corner = (columns.start - 0.5, rows.start - 0.5)
        size = (columns.stop - columns.start, rows.stop - rows.start)
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=FRAME, linewidth=1.2))
    if panel.tag:
        box = {"facecolor": "black", "alpha": 0.6, "pad": 2.5, "edgecolor": "none"}
        axes.text(
            0.03,
            0.97,
            panel.tag,
            color="white",
            fontsize=7.5,
            va="top",
            bbox=box,
            transform=axes.transAxes,
            clip_on=True,
        )
