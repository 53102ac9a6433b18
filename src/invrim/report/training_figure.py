"""How learning went: the loss, and scores on held-out data against what needs no learning."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from invrim.report.axes import new_axes
from invrim.report.palette import ACCENT, INK, MUTED, TALL, WIDE
from invrim.report.story import TrainingCurve, ValidationCurve

NOISY = 50
"""From this many points on, a running mean is drawn over the raw loss."""


def training_figure(curve: TrainingCurve, *, tall: bool = False) -> Figure:
    """Draw loss and validation SSIM, side by side or, on a phone, under each other."""
    figure = Figure(figsize=(TALL, 6.0) if tall else (WIDE, 3.6))
    if curve.validation is None:
        _draw_loss(new_axes(figure, (0.13, 0.15, 0.84, 0.74)), curve)
        return figure
    places = _places(tall)
    _draw_loss(new_axes(figure, places[0]), curve)
    _draw_validation(new_axes(figure, places[1]), curve.validation, curve.zero_filled_ssim)
    return figure


def _places(tall: bool) -> list[tuple[float, float, float, float]]:
    if tall:
        return [(0.13, 0.58, 0.84, 0.36), (0.13, 0.08, 0.84, 0.36)]
    return [(0.05, 0.14, 0.42, 0.74), (0.555, 0.14, 0.42, 0.74)]


def _draw_loss(axes: Axes, curve: TrainingCurve) -> None:
    loss = np.asarray(curve.loss, dtype=float)
    noisy = len(loss) >= NOISY
    axes.plot(curve.steps, loss, color=ACCENT, lw=0.8 if noisy else 2, alpha=0.3 if noisy else 1)
    if noisy:
        width = len(loss) // 20
        smooth = np.convolve(loss, np.ones(width) / width, mode="valid")
        axes.plot(np.asarray(curve.steps)[width - 1 :], smooth, color=ACCENT, lw=2)
    _label(axes, "training loss")


def _draw_validation(axes: Axes, curve: ValidationCurve, zero_filled: float | None) -> None:
    axes.plot(curve.steps, curve.ssim, "o-", color=ACCENT, lw=2, ms=4)
    axes.annotate(
        f"{curve.ssim[-1]:.3f}", (curve.steps[-1], curve.ssim[-1]), (0, 7), textcoords="offset points", ha="right",
        color=ACCENT, fontsize=9, fontweight="bold",
    )  # fmt: skip
    if zero_filled is not None:
        axes.axhline(zero_filled, color=MUTED, lw=1.2, ls=(0, (4, 3)))
        axes.annotate(
            f"zero-filled {zero_filled:.3f}", (1, zero_filled), (0, 5), textcoords="offset points", ha="right",
            xycoords=axes.get_yaxis_transform(), color=MUTED, fontsize=8.5,
        )  # fmt: skip
    axes.margins(y=0.18)
    _label(axes, "SSIM on held-out data")


def _label(axes: Axes, title: str) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("training step")
    axes.set_title(title, loc="left", fontsize=9.5, color=INK)
