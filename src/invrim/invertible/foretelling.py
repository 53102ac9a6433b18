"""What an operation of torch would make, found with tensors that have no data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only


def foretell(func: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Carry an operation out without data; return what it was given, and what it made, both without data.

    Raises
    ------
    RuntimeError
        If the operation wants to see data, such as one that makes a number of a tensor.
    """
    given = args, kwargs = tree_map_only(Tensor, _without_data, (args, kwargs))
    if "device" in kwargs or not any(isinstance(leaf, Tensor) for leaf in tree_leaves(given)):
        kwargs = {**kwargs, "device": torch.device("meta")}
    return given, func(*args, **kwargs)


def _without_data(t: Tensor) -> Tensor:
    return torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="meta")
