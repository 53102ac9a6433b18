"""A raw file at a glance: k-space, the mask, and the image that needs no learning."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from invrim.data.inspection import Inspection, coil_images
from invrim.data.orientation import upright
from invrim.report.picture import write_png


def write_inspection(inspection: Inspection, path: Path) -> Path:
    """Write the figure as a PNG file."""
    return write_png(inspection_figure(inspection), path)


def inspection_figure(inspection: Inspection) -> Figure:
    """Draw log k-space, what was sampled, the zero-filled image, and up to four coil images of the middle slice."""
    header = inspection.header
    kspace, coils = coil_images(inspection.middle)
    kspace = torch.linalg.vector_norm(kspace, dim=0)
    images = upright(torch.cat([torch.linalg.vector_norm(coils, dim=0, keepdim=True), coils.abs()]), header.geometry)
    panels = [
        ("k-space, log", np.log10(1e-6 + (kspace / kspace.max().clamp_min(1e-30)).numpy())),
        ("sampled", inspection.mask.expand(header.matrix).float().numpy()),
        ("zero-filled", images[0].numpy()),
    ]
    if header.coils > 1:
        panels += [(f"coil {number}", images[1 + number].numpy()) for number in range(min(4, header.coils))]
    figure = Figure(figsize=(3 * len(panels), 3.6), layout="constrained")
    for axes, (title, image) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.imshow(image, cmap="gray", vmax=max(np.percentile(image, 99.7), image.min() + 1e-30))
        axes.set_title(title, fontsize=11)
        axes.set_axis_off()
    figure.suptitle(
        f"{header.name}: {' x '.join(map(str, header.matrix))}, {header.coils} coils, "
        f"acceleration {inspection.acceleration:.1f}",
        fontsize=12,
    )
    return figure
