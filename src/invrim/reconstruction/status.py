"""What became of each file of an archive, in a JSON file of its own, so that no two tasks write the same one."""

from __future__ import annotations

import json
import platform
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from invrim.errors import InvrimError
from invrim.files import atomic_write, make_folder, reason

STATUS = "status"
"""Folder below that of the results."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file."""

    path: Path
    status: Literal["reconstructed", "already there", "failed", "not tried"]
    result: Path | None = None
    """The images, where there are some."""
    error: Exception | None = None
    """Why it failed."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Of reading, computing and writing, which overlap those of other files."""

    @property
    def reason(self) -> str | None:
        """Why it failed, in one line that names the file."""
        if self.error is None:
            return None
        if isinstance(self.error, InvrimError):
            text = " ".join(str(self.error).split())
            return text if self.path.name in text else f"{self.path.name}: {text}"
        return f"{self.path.name}: {type(self.error).__name__}: {reason(self.error)}"


def status_file(out: Path, path: Path) -> Path:
    """Where the outcome of a raw file is written."""
    return out / STATUS / f"{path.stem}.json"


def write_status(out: Path, outcome: Outcome, shard: str) -> None:
    """Write an outcome, whole or not at all; with the traceback of what nobody raised on purpose."""
    error = outcome.error
    unforeseen = error is not None and not isinstance(error, InvrimError | OSError)
    status = {
        "source": outcome.path.name,
        "status": outcome.status,
        "result": None if outcome.result is None else outcome.result.name,
        "error": outcome.reason,
        "traceback": traceback.format_exception(error) if error is not None and unforeseen else None,
        "seconds": {name: round(value, 3) for name, value in outcome.seconds.items()},
        "shard": shard,
        "host": platform.node(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    place = status_file(out, outcome.path)
    make_folder(place.parent)
    with atomic_write(place) as temporary:
        temporary.write_text(json.dumps(status, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
