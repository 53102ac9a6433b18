"""Evaluations as tables for the terminal, the protocol's name always with the numbers."""

import math
from collections.abc import Mapping

from rich.table import Table

from invrim.errors import OptionError
from invrim.evaluation.result import Evaluation

LABELS = {"nmse": "NMSE", "psnr": "PSNR (dB)", "ssim": "SSIM", "vif": "VIF"}
DECIMALS = {"nmse": 4, "psnr": 2, "ssim": 4, "vif": 4}
"""As many as the fastMRI paper prints."""
LONGEST_LIST = 12
"""A terminal page; the JSON file has them all."""


def label_of(metric: str) -> str:
    """Column title of a metric, with its unit."""
    return LABELS.get(metric, metric)


def format_score(metric: str, value: float) -> str:
    """Print a value with the digits that the metric deserves."""
    return f"{value:.{DECIMALS.get(metric, 4)}f}" if math.isfinite(value) else "∞" if value > 0 else "n/a"


def format_mean(evaluation: Evaluation, metric: str) -> str:
    """Print ``mean ± standard deviation`` over volumes; the mean alone for a single volume."""
    mean = format_score(metric, evaluation.mean[metric])
    return mean if len(evaluation.volumes) < 2 else f"{mean} ± {format_score(metric, evaluation.std[metric])}"


def evaluation_table(evaluation: Evaluation) -> Table:
    """Volumes, the lowest SSIM first, and below them mean ± standard deviation."""
    metrics = list(evaluation.mean)
    table = _empty_table("volume", evaluation.protocol, metrics)
    worst_first = sorted(evaluation.volumes.items(), key=lambda item: item[1].get("ssim", 0.0))
    for file, scores in worst_first[:LONGEST_LIST]:
        table.add_row(file, *(format_score(metric, scores[metric]) for metric in metrics))
    if len(worst_first) > LONGEST_LIST:
        table.add_row(f"… {len(worst_first) - LONGEST_LIST} with higher SSIM", *("" for _ in metrics))
    table.add_section()
    table.add_row(
        count_in_words("mean", evaluation), *(format_mean(evaluation, metric) for metric in metrics), style="bold"
    )
    return table


def comparison_table(rows: Mapping[str, Evaluation]) -> Table:
    """Methods under each other, mean ± standard deviation; all must share one protocol and its metrics."""
    protocol = common_protocol(rows)
    metrics = list(next(iter(rows.values())).mean)
    table = _empty_table("method", protocol, metrics)
    for method, evaluation in rows.items():
        table.add_row(count_in_words(method, evaluation), *(format_mean(evaluation, metric) for metric in metrics))
    return table


def common_protocol(rows: Mapping[str, Evaluation]) -> str:
    """Name the protocol that all evaluations share, or refuse to compare them."""
    found = {evaluation.protocol for evaluation in rows.values()}
    if len(found) != 1:
        raise OptionError(
            f"protocols are {', '.join(sorted(found)) or 'none'}: expected one for all methods, since their numbers "
            f"do not compare. Evaluate all under one protocol."
        )
    return found.pop()


def _empty_table(first: str, protocol: str, metrics: list[str]) -> Table:
    table = Table(title=f"protocol: {protocol}", title_justify="left")
    table.add_column(first)
    for metric in metrics:
        table.add_column(label_of(metric), justify="right")
    return table


def count_in_words(label: str, evaluation: Evaluation) -> str:
    """``"mean (3 volumes)"``."""
    count = len(evaluation.volumes)
    return f"{label} ({count} volume{'s' if count != 1 else ''})"
