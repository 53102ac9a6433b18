"""Checkpoints as the code released in 2019 wrote them."""

from argparse import Namespace
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

SETTINGS = {
    "challenge": "singlecoil",
    "multiplicity": 1,
    "shared_weights": False,
    "n_steps": 8,
    "data_path": Path("/data/fastmri"),
    "accelerations": [4, 8],
    "lr": 1e-4,
}
"""Some of what its command line knew."""


def write_checkpoint(
    path: Path, tensors: Mapping[str, torch.Tensor], *, prefix: str = "module.", zipped: bool = False, **settings: Any
) -> Path:
    """Save tensors as one of its runs did: from several processes (``module.``), by the PyTorch of that year."""
    content = {
        "epoch": 49,
        "args": Namespace(**{**SETTINGS, **settings}),
        "model": OrderedDict((prefix + name, tensor) for name, tensor in tensors.items()),
        "optimizer": {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4}]},
        "best_dev_loss": np.float64(-0.751),
        "exp_dir": Path("/runs/irim"),
    }
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path
