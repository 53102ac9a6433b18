"""Tables on runs that are killed, and on long ones."""

from __future__ import annotations

from typing import Any

from measured import origin, table

MODELS = {"irim": "i-RIM, running average", "unet": "U-Net, dropout"}


def kills_table(result: dict[str, Any]) -> str:
    """One line a model."""
    head = ["model", "kills", "of them while writing", "runs", "with the same weights", "a run", "going on costs"]
    body = [
        [
            MODELS[name], *(str(facts[key]) for key in ("kills", "kills_while_writing", "runs", "identical")),
            f"{facts['seconds_of_a_run']:.0f} s", f"{facts['seconds_to_go_on']:.0f} s",
        ]
        for name, facts in result["results"].items()
    ]  # fmt: skip
    what = f"{result['setting']['updates']} updates a run, by SIGKILL at random moments"
    return f"{table(head, body)}\n\n{what}; most of what going on costs is importing libraries; {origin(result)}."


def endurance_sentence(result: dict[str, Any]) -> str:
    """What the memory of a long run did."""
    facts = result["results"]
    return (
        f"In {result['setting']['updates']:,} updates of a tiny model, {facts['minutes']:.0f} minutes, what the "
        f"training and its loader's process held in memory changed by {100 * facts['growth']:+.2f} %; {origin(result)}."
    )
