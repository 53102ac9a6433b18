"""Tables on what training costs, on runs that are killed, and on long ones."""

from __future__ import annotations

from typing import Any

from measured import megabytes, origin, table

MODELS = {"irim": "i-RIM, running average", "unet": "U-Net, dropout"}
MODES = {"store": "stored", "invert": "inverted"}


def depth_table(result: dict[str, Any]) -> str:
    """One line a depth, with memory and time of every mode."""
    return f"{_modes_table(result, 'depth', 'blocks')}\n\nBatches of two slices of 128 x 128; {origin(result)}."


def volume_table(result: dict[str, Any]) -> str:
    """One line a size of volume, with memory and time of every mode."""
    return f"{_modes_table(result, 'volume', 'voxels')}\n\nFour blocks of 32 channels, in 3D; {origin(result)}."


def _modes_table(result: dict[str, Any], study: str, what: str) -> str:
    cells: dict[int, list[str]] = {}
    for row in result["results"][study]:
        cells.setdefault(row[what], []).append(f"{megabytes(row['peak_bytes'])}, {row['seconds']:.2f} s")
    return table([what, *MODES.values()], [[f"{size:,}", *facts] for size, facts in cells.items()])


def processes_table(result: dict[str, Any]) -> str:
    """One line a number of processes."""
    body = [
        [
            str(row["processes"]), f"{row['slices_per_second']:.1f}", f"{row['seconds']:.2f} s",
            megabytes(row["peak_bytes"]),
        ]
        for row in result["results"]["processes"]
    ]  # fmt: skip
    head = ["processes", "slices learnt from a second", "an update", "memory of each"]
    what = f"Two slices a process and update; {result['setting']['cores']} cores"
    return f"{table(head, body)}\n\n{what}; {origin(result)}."


def checkpoints_table(result: dict[str, Any]) -> str:
    """One line a size of model."""
    body = [
        [
            f"{row['parameters']:,}", megabytes(row["checkpoint_bytes"]), f"{row['seconds_to_write']:.2f} s",
            f"{row['seconds_to_begin']:.2f} s", f"{row['seconds_to_go_on']:.2f} s",
        ]
        for row in result["results"]["checkpoints"]
    ]  # fmt: skip
    head = ["parameters", "checkpoint", "to write it", "to begin a run", "to go on with one"]
    return f"{table(head, body)}\n\nUntil the first update begins, imports apart; {origin(result)}."


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
