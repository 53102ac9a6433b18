"""A raw file at a glance: k-space, the mask, and the image that needs no learning."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from invrim.data.inspection import Inspection
from invrim.operators import ifft_centred
from invrim.report.picture import write_png


def write_inspection(inspection: Inspection, path: Path) -> Path:
    """Write the figure as a PNG file."""
    return write_png(inspection_figure(inspection), path)


def inspection_figure(inspection: Inspection) -> Figure:
    """Draw log k-space, the zero-filled root sum of squares, and up to four coil images of the middle slice."""
    coils = ifft_centred(inspection.kspace).abs()
    kspace = torch.linalg.vector_norm(inspection.kspace, dim=0)
    panels = [
        ("k-space, log", np.log10(1e-6 + (kspace / kspace.max().clamp_min(1e-30)).numpy())),
        ("zero-filled", torch.linalg.vector_norm(coils, dim=0).numpy()),
    ]
    if inspection.coils > 1:
        panels += [(f"coil {number}", coils[number].numpy()) for number in range(min(4, inspection.coils))]
    figure = Figure(figsize=(3 * len(panels), 3.6), layout="constrained")
    for axes, (title, image) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.imshow(image, cmap="gray", vmax=np.percentile(image, 99.7))
        axes.set_title(title, fontsize=11)
        axes.set_axis_off()
    matrix = " x ".join(map(str, inspection.matrix))
    figure.suptitle(
        f"{inspection.name}: {matrix}, {inspection.coils} coils, acceleration {inspection.acceleration:.1f}",
        fontsize=12,
    )
    return figure
