"""What the examples share, whatever the instrument: a small i-RIM, its training, scores, a table and a picture.

The model meets an instrument as a data fidelity only. The images are real: an operator ``A @ RealPart()`` reads the
real part of the model's complex estimate, and so do the loss and the scores.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from invrim import IRIM
from invrim.files import atomic_write
from invrim.operators import DataFidelity
from invrim.report.picture import write_png
from invrim.report.provenance import collect_provenance
from invrim.training.muon import Muon

ROOT = Path(__file__).resolve().parents[1]
MODEL: dict[str, Any] = {
    "steps": 6, "hidden": [16, 32, 64], "strides": [1, 2, 4], "channels": 16, "head": "eta",
    "backprop": "store",  # so small a model fits anyway, and an update takes a quarter less
}  # fmt: skip
RATE, WARMUP, GAIN = 3e-3, 30, 0.1
GREY = 0.5, 99.5
"""Percentiles of a target that are shown black and white."""

Draw = Callable[[], tuple[DataFidelity, Tensor]]
"""Returns the data fidelity of a fresh batch, and its real target images ``(b, y, x)``."""


def psnr(image: Tensor | np.ndarray, target: Tensor, inside: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in decibels, peak = the target's range; of the pixels ``inside``, or of all."""
    error = (torch.as_tensor(image) - target).square()
    mean = float((error if inside is None else error[inside]).mean())
    return 10 * math.log10(float(target.max() - target.min()) ** 2 / mean)


class Bench:
    """One instrument's experiment, from the command line to the table.

    Parameters
    ----------
    name
        Of the experiment, and of the files that it writes.
    question
        What ``--help`` says; its first line is the question that the scores answer.
    updates
        How long to train unless the command line says otherwise.
    """

    def __init__(self, name: str, question: str, updates: int) -> None:
        parser = argparse.ArgumentParser(description=question, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--updates", type=int, default=updates, help="of the training (default %(default)s)")
        parser.add_argument("--data", type=Path, default=ROOT / "shared" / "data", help="folder of real scans")
        parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results", help="for the scores")
        parser.add_argument("--pictures", type=Path, default=ROOT / "docs", help="for the picture")
        self.options = parser.parse_args()
        self.name = name
        self.question = question.partition("\n")[0]
        self.scores: dict[str, dict[str, dict[str, float]]] = {}
        """Group -> image -> method -> PSNR."""
        self.shown: dict[str, dict[str, Tensor]] = {}
        """Group -> method -> image: the first of every group."""
        self.seconds = 0.0

    def find(self, path: str) -> Path | None:
        """Return a file of the data folder, or None and a word about it."""
        found: Path = self.options.data / path
        if found.is_file():
            return found
        Console().print(f"without {path}, which is not in {self.options.data}")
        return None

    def train(self, draw: Draw, **options: Any) -> IRIM:
        """Train an i-RIM, `MODEL` with these options, by Muon: warm-up, then a cosine down to zero."""
        torch.manual_seed(0)
        model = IRIM(**{**MODEL, **options})
        model.scale_blocks(GAIN)
        optimiser = Muon(model.parameters(), lr=RATE)
        start = time.process_time()
        for update in track(range(self.options.updates), description="training", console=Console(stderr=True)):
            decay = (1 + math.cos(math.pi * update / self.options.updates)) / 2
            for group in optimiser.param_groups:
                group["lr"] = RATE * decay * min(1.0, (update + 1) / WARMUP)
            fidelity, target = draw()
            optimiser.zero_grad()
            (model(fidelity).real - target).abs().mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
        self.seconds = time.process_time() - start
        return model.eval().requires_grad_(False)

    def score(
        self, group: str, name: str, target: Tensor, images: Mapping[str, Any], inside: Tensor | None = None
    ) -> None:
        """Note how every method did on one held-back image."""
        real = {method: torch.as_tensor(image).real for method, image in images.items()}
        scores = {method: psnr(image, target, inside) for method, image in real.items()}
        self.scores.setdefault(group, {})[name] = scores
        self.shown.setdefault(group, {**real, "target": target})

    def finish(self, setting: Mapping[str, Any]) -> None:
        """Print the table, write the scores and the picture."""
        means = {group: _mean(images) for group, images in self.scores.items()}
        _print(self.question, means)
        settings = {**setting, "updates": self.options.updates, "training_cpu_seconds": self.seconds}
        results = {"images": self.scores, "mean": means}
        content = {
            "question": self.question, "provenance": collect_provenance(), "setting": settings, "results": results,
        }  # fmt: skip
        for folder in (self.options.results, self.options.pictures):
            folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.options.results / f"{self.name}.json") as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        write_png(_figure(self.shown, self.scores), self.options.pictures / f"{self.name}.png")


def _mean(images: dict[str, dict[str, float]]) -> dict[str, float]:
    methods = next(iter(images.values()))
    return {method: statistics.fmean(scores[method] for scores in images.values()) for method in methods}


def _print(question: str, means: dict[str, dict[str, float]]) -> None:
    methods = list(next(iter(means.values())))
    table = Table("PSNR in dB", *methods, title=question)
    for group, scores in means.items():
        table.add_row(group, *(f"{scores[method]:.2f}" for method in methods))
    Console().print(table)


def _figure(shown: dict[str, dict[str, Tensor]], scores: dict[str, dict[str, dict[str, float]]]) -> Figure:
    """One row a group, its first image; one column a method."""
    columns = max(len(images) for images in shown.values())
    figure = Figure(figsize=(2.4 * columns, 2.6 * len(shown)), layout="constrained")
    for row, (group, images) in enumerate(shown.items()):
        black, white = np.percentile(images["target"].numpy(), GREY)
        (first, *_) = scores[group].values()
        for column, (method, image) in enumerate(images.items()):
            axes = figure.add_subplot(len(shown), columns, row * columns + column + 1)
            axes.imshow(image.numpy(), cmap="gray", vmin=black, vmax=white)
            axes.set_axis_off()
            caption = f"{method}, {first[method]:.1f} dB" if method in first else f"{method}: {group}"
            axes.set_title(caption, fontsize=8)
    return figure
