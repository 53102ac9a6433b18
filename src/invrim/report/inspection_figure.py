"""A raw file at a glance: k-space, the mask, and the image that needs no learning."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from invrim.data.inspection import Inspection, coil_images
from invrim.data.orientation import upright
from invrim.report.palette import RULE
from invrim.report.picture import write_png


def write_inspection(inspection: Inspection, path: Path) -> Path:
    """Write the figure as a PNG file."""
    return write_png(inspection_figure(inspection), path)


def inspection_figure(inspection: Inspection) -> Figure:
    """Draw log k-space, what was sampled, the zero-filled image, and up to four coil images of the middle slice.

    All are turned alike, upright where the orientation is known: a direction in k-space is that direction in the image.
    """
    header = inspection.header
    kspace, coils = coil_images(inspection.middle)
    kspace = torch.linalg.vector_norm(kspace, dim=0)
    panels = {
        "k-space, log": (1e-6 + kspace / kspace.max().clamp_min(1e-30)).log10(),
        "sampled": inspection.mask.expand(header.matrix).float(),
        "zero-filled": torch.linalg.vector_norm(coils, dim=0),
    }
    if header.coils > 1:
        panels |= {f"coil {number}": coils[number].abs() for number in range(min(4, header.coils))}
    figure = Figure(figsize=(3 * len(panels), 3.6), layout="constrained")
    for axes, (title, panel) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        image = upright(panel, header.geometry).numpy()
        black, white = (0, 1) if title == "sampled" else (image.min(), np.percentile(image, 99.7))
        axes.imshow(image, cmap="gray", vmin=black, vmax=max(white, black + 1e-30))
        axes.set_title(title, fontsize=11)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(RULE)  # else what is all white cannot be told from the page
    figure.suptitle(
        f"{header.name}: {' x '.join(map(str, header.matrix))}, {header.coils} coils, "
        f"acceleration {inspection.acceleration:.1f}",
        fontsize=12,
    )
    return figure
