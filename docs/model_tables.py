"""The tables of docs/models.md."""

from __future__ import annotations

from typing import Any

from measured import megabytes, origin, table

SCANS = {"test": "one coil", "real": "13 coils"}
"""Folder that was scored -> what the reader calls it."""


def contest_table(result: dict[str, Any]) -> str:
    """One line a model: what it is, what it costs, and how it scores on scans never seen."""
    entries, baselines = result["results"]["entries"], result["results"]["baselines"]
    scans = list(next(iter(entries.values()))["scores"])
    head = ["", "parameters", "updates", "training memory", *map(_title, scans)]
    body = [
        [
            facts["title"],
            f"{facts['parameters']:,}",
            f"{facts['updates']:,}",
            _memory(facts),
            *_scores(facts["scores"], scans),
        ]
        for facts in entries.values()
    ]
    body += [[name, "", "", "", *_scores(scores, scans)] for name, scores in baselines.items()]
    minutes, updates = result["setting"]["minutes"], result["setting"]["updates"]
    spent = f"{updates} updates each" if updates else f"{minutes:g} minutes of one thread each"
    return f"{table(head, body)}\n\nPSNR in dB / SSIM; {spent}; {origin(result)}."


def _title(scan: str) -> str:
    folder, acceleration = scan.split()
    return f"{SCANS[folder]}, {acceleration}"


def _scores(scores: dict[str, Any], scans: list[str]) -> list[str]:
    return [f"{scores[scan]['psnr']:.2f} / {scores[scan]['ssim']:.3f}" for scan in scans]


def _memory(facts: dict[str, Any]) -> str:
    memory = facts["memory_bytes"]
    inverted = f", by inversion {megabytes(memory['invert'])}" if "invert" in memory else ""
    return f"{megabytes(memory['store'])}{inverted}"
