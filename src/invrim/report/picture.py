"""Figures as PNG: bytes for the page, a file for somebody at a terminal."""

import base64
import io
from pathlib import Path

from matplotlib.figure import Figure

from invrim.files import atomic_write
from invrim.report.case_figure import case_figure
from invrim.report.palette import RESOLUTION
from invrim.report.story import Case


def png(figure: Figure) -> bytes:
    """Render with Agg, whatever backend the process has chosen, the same bytes every time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=RESOLUTION, metadata={"Software": None})
    return buffer.getvalue()


def data_uri(figure: Figure) -> str:
    """Render as an address that carries the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png(figure)).decode("ascii")


def first_picture(case: Case, path: Path) -> Path:
    """Write one case as a PNG file."""
    return write_png(case_figure(case), path)


def write_png(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG file, whole or not at all."""
    content = png(figure)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return path
