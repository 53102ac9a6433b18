"""What each panel of a case shows, before anybody draws it: scaling, differences, captions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from invrim.report.detail import detail_window
from invrim.report.story import Case, Image

ERROR_GAIN = 5
"""Errors of a few percent become visible on the image's own grey scale."""
WHITE = 98.5
"""Percentile of the target shown as white: bright fat and vessels must not darken the organ of interest."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture in grey, 0 black to 1 white."""

    grey: NDArray[np.float32]
    tag: str = ""
    frame: tuple[slice, slice] | None = None
    """Region to outline, ``(y, x)``."""
    interpolation: str = "auto"
    """As matplotlib names it."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """All that is shown of one method."""

    name: str
    scores: str
    panels: tuple[Panel, Panel, Panel]
    """The image, its detail, and its error; for the target the sampling mask instead of the error."""


def columns_of(case: Case) -> list[Column]:
    """Target first, then every method; one grey scale for all."""
    white = np.percentile(case.target, WHITE) or case.target.max()
    target = (case.target / white).astype(np.float32)
    window = detail_window(target)
    mask = Panel(grey=_mask_lines(case), tag=_mask_tag(case.mask), interpolation="nearest")
    columns = [Column(name="target", scores="fully sampled", panels=(*_views(target, window), mask))]
    for name, image in case.methods.items():
        grey = (image / white).astype(np.float32)
        error = Panel(grey=ERROR_GAIN * np.abs(grey - target), tag=f"error \N{MULTIPLICATION SIGN} {ERROR_GAIN}")
        scores = format_scores(case.metrics.get(name, {}))
        columns.append(Column(name=name, scores=scores, panels=(*_views(grey, window), error)))
    return columns


def format_scores(scores: Mapping[str, float]) -> str:
    """Print PSNR and SSIM as they stand above a picture."""
    parts = []
    if "psnr" in scores:
        parts.append(f"PSNR {scores['psnr']:.1f} dB")
    if "ssim" in scores:
        parts.append(f"SSIM {scores['ssim']:.3f}")
    return "   ".join(parts)


def _views(grey: Image, window: tuple[slice, slice]) -> tuple[Panel, Panel]:
    return Panel(grey=grey, frame=window), Panel(grey=grey[window], tag="detail", interpolation="bicubic")


def _mask_lines(case: Case) -> Image:
    """Draw k-space as tall as the image's panel, measured columns white."""
    height, width = case.target.shape
    rows = max(1, round(len(case.mask) * height / width))
    return np.repeat(case.mask[None].astype(np.float32), rows, axis=0)


def _mask_tag(mask: NDArray[np.bool_]) -> str:
    return f"{mask.sum()}/{len(mask)} columns"
