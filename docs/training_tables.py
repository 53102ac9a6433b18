"""Tables on runs that are killed, and on long ones."""

from __future__ import annotations

from typing import Any

from measured import origin, table

MODELS = {"irim": "i-RIM, running average", "unet": "U-Net, dropout"}


def kills_table(result: dict[str, Any]) -> str:
    """One line a model."""
    head = ["model", "kills", "of them while writing", "runs that ended", "with the same weights"]
    body = [
        [MODELS[name], *(str(facts[key]) for key in ("kills", "kills_while_writing", "runs", "identical"))]
        for name, facts in result["results"].items()
    ]
    what = f"{result['setting']['updates']} updates a run, killed by SIGKILL at random moments"
    return f"{table(head, body)}\n\n{what}; {origin(result)}."


def endurance_sentence(result: dict[str, Any]) -> str:
    """What the memory of a long run did."""
    facts = result["results"]
    return (
        f"In {result['setting']['updates']:,} updates of a tiny model, {facts['minutes']:.0f} minutes, what the "
        f"training and its loader's process held in memory changed by {100 * facts['growth']:+.2f} %; {origin(result)}."
    )
