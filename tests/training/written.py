"""What a run has written."""

import hashlib
from pathlib import Path
from typing import Any

import torch

from invrim.training.checkpoints import FOLDER, checkpoints_in


def last_checkpoint(out: Path) -> dict[str, Any]:
    _, path = next(checkpoints_in(out / FOLDER))
    checkpoint: dict[str, Any] = torch.load(path, weights_only=True)
    return checkpoint


def empty_checkpoint(out: Path) -> Path:
    """Make an undamaged file in the place of a run's checkpoint, with nothing in it."""
    path = out / FOLDER / f"update-00000005-{hashlib.sha256(b'').hexdigest()[:16]}.ckpt"
    path.parent.mkdir()
    path.touch()
    return path
