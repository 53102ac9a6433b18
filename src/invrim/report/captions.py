"""Sentences under the pictures: what to see, with every number taken from the data."""

from invrim.report.memory_figure import format_bytes, growth
from invrim.report.panels import ERROR_GAIN, WHITE
from invrim.report.story import Case, MemoryCurve, TrainingCurve


def case_caption(case: Case) -> str:
    """Explain the panels of a case."""
    columns, measured = len(case.mask), int(case.mask.sum())
    return (
        f"Top to bottom (on a phone: left to right): the slice; the outlined detail enlarged; the absolute error "
        f"multiplied by {ERROR_GAIN}, where black is no error. All panels share one grey scale, white at the target's "
        f"{WHITE:g}th percentile. Under the target, the sampling: {measured} of {columns} columns of k-space were "
        f"measured, {columns / measured:.1f}-fold acceleration."
    )


def training_caption(curve: TrainingCurve) -> str:
    """Say from where to where it went."""
    text = f"Loss over {curve.steps[-1]:,} training steps; the bold line, where there is one, is a running mean."
    if curve.validation is None:
        return text
    scores = curve.validation
    text += f" SSIM on held-out data went from {scores.ssim[0]:.3f} to {scores.ssim[-1]:.3f}"
    text += f" and PSNR from {scores.psnr[0]:.1f} to {scores.psnr[-1]:.1f} dB."
    if curve.zero_filled_ssim is not None:
        text += " The dashed line is the zero-filled image, for which nothing is learned."
    return text


def memory_caption(curve: MemoryCurve) -> str:
    """Say how much each mode grew."""
    shallow, deep = curve.depths[0], curve.depths[-1]
    changes = [
        f"{mode} {format_bytes(values[0])} → {format_bytes(values[-1])} ({_change(growth(values))})"
        for mode, values in curve.bytes.items()
    ]
    text = f"From {shallow:,} to {deep:,} blocks: {'; '.join(changes)}. A flat line means that depth costs no memory."
    return f"{text} {curve.setting}".strip()


def _change(factor: float) -> str:
    return "unchanged" if round(factor, 2) == 1 else f"{factor:.3g}-fold"
