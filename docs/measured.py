"""What all measured tables are written with."""

from __future__ import annotations

from typing import Any


def table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def megabytes(count: float) -> str:
    return f"{count / 1e6:.3g} MB" if count < 1e9 else f"{count / 1e9:.3g} GB"


def origin(result: dict[str, Any]) -> str:
    """Say when, where and with what a benchmark was run."""
    provenance = result["provenance"]
    return f"measured {provenance['date'][:10]} on {provenance['processor']}, torch {provenance['torch']}"
