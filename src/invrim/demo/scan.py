"""The subject nobody trained on: simulate the scan, reconstruct it by every method, score it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from invrim.data.formats.fastmri import read_header, read_target
from invrim.errors import DataError
from invrim.evaluation import Evaluation, evaluate_volume
from invrim.models import Solver, load_model
from invrim.models.baselines import available_baselines
from invrim.reconstruction import Job, reconstruct_slices, sampling_mask
from invrim.report import Case, TableRow

PROTOCOL = "fastmri"
LEARNED = "i-RIM"
COMPRESSED = "compressed sensing"

Say = Callable[[str], None]


def methods(weights: str) -> dict[str, Solver]:
    """Solvers by name, the reference first; compressed sensing only where bartorch is installed."""
    return {**available_baselines(), LEARNED: load_model(weights)}


def check_raw(files: Sequence[Path]) -> None:
    """Refuse files that `compare` could not use, before anything is computed.

    Raises
    ------
    FileError, DataError
        If one is not in the fastMRI schema, has no target, or is undersampled already.
    """
    for path in files:
        header = read_header(path)
        if header.target_name is None:
            raise DataError(
                f"{path}: expected a file with its target, got none. Add `reconstruction_rss` (slices, y, x)."
            )
        if header.phase_encodes == 2:
            raise DataError(
                f"{path}: expected a file of slices with one phase encoding, got two. Use `invrim reconstruct` for it, "
                f"with weights of your own."
            )
        if header.mask is not None:
            raise DataError(
                f"{path}: expected a fully sampled file, got one with a mask. Use `invrim reconstruct` for it."
            )


def compare(
    raw: Path, title: str, acceleration: float, solvers: dict[str, Solver], say: Say
) -> tuple[Case, list[TableRow]]:
    """Undersample a fully sampled file, reconstruct it by every method, and score each.

    Parameters
    ----------
    raw
        Fully sampled fastMRI-schema file with its target.
    title
        What it shows, for the picture.
    acceleration
        Of the random columns.
    solvers
        From `methods`.
    say
        Where progress goes.

    Returns
    -------
    The slice of most signal as a picture, and a table row for each method.
    """
    target = read_target(raw)
    best_slice = int(target.sum(dim=(1, 2)).argmax())
    images: dict[str, Tensor] = {}
    rows: list[TableRow] = []
    job = Job(out=raw.parent, acceleration=acceleration)
    for name, solver in solvers.items():
        say(f"{title}, {acceleration:g}x: {name}")
        volume, _ = reconstruct_slices(solver, raw, job)
        scores = evaluate_volume(target, volume, PROTOCOL)
        evaluation = Evaluation(protocol=PROTOCOL, volumes={raw.name: scores})
        rows.append(TableRow(scan=title, method=name, acceleration=acceleration, evaluation=evaluation))
        images[name] = volume[best_slice]
    mask = sampling_mask(read_header(raw), acceleration)
    return _case(f"{title}, {acceleration:g}x", target[best_slice], images, mask, rows), rows


def _case(title: str, target: Tensor, images: dict[str, Tensor], mask: Tensor, rows: list[TableRow]) -> Case:
    baseline = images.get(COMPRESSED)
    scores = {row.method: row.evaluation.mean for row in rows}
    return Case(
        title=title,
        target=target.numpy(),
        zero_filled=images["zero-filled"].numpy(),
        reconstruction=images[LEARNED].numpy(),
        baseline=None if baseline is None else baseline.numpy(),
        baseline_name=None if baseline is None else COMPRESSED,
        mask=mask.to(torch.bool).numpy(),
        metrics={name: {key: values[key] for key in ("psnr", "ssim")} for name, values in scores.items()},
    )
