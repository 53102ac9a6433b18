"""Tell weights from other weights, whatever their file is called."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def fingerprint(model: nn.Module) -> str | None:
    """SHA-256 of a model's state, in hexadecimal; None of a model without any, which has learned nothing.

    Name, type, shape and bytes of every tensor count, in the order of their names; a tensor with several names counts
    once, under the first. It does not change with the device, or by writing weights and reading them. Reads every
    weight once: a few seconds a gigabyte.
    """
    digest, seen = hashlib.sha256(), set()
    for name, tensor in sorted(model.state_dict(keep_vars=True).items()):
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest() if seen else None
