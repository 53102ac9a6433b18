"""The tables of docs/instruments.md."""

from __future__ import annotations

from typing import Any

from measured import origin, table

MODEL = "i-RIM"


def instrument_table(result: dict[str, Any]) -> str:
    """One line a group of held-back images: every method, and the model's gain over each standard one."""
    means = {**result["results"]["mean"], **_overall(result["results"]["images"])}
    methods = list(next(iter(means.values())))
    standard = [method for method in methods if method not in (MODEL, "blurred")]
    head = ["PSNR in dB", *methods, *(f"over {method}" for method in standard)]
    body = []
    for group, scores in means.items():
        gains = [round(scores[MODEL] - scores[method], 2) + 0.0 for method in standard]  # no minus zero
        body.append([group, *(f"{scores[method]:.2f}" for method in methods), *(f"{gain:+.2f}" for gain in gains)])
    setting = result["setting"]
    effort = f"{setting['updates']} updates, {setting['training_cpu_seconds'] / 60:.0f} core-minutes of training"
    return f"{table(head, body)}\n\n{effort}; {origin(result)}."


def _overall(images: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Mean over all held-back images."""
    every = [scores for group in images.values() for scores in group.values()]
    name = f"**mean of all {len(every)} images**"
    return {name: {method: sum(scores[method] for scores in every) / len(every) for method in every[0]}}
