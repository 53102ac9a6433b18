"""deepinv, if it is installed: `make test-deepinv` makes an environment that has it."""

import importlib.util
import warnings
from types import ModuleType

import pytest
import torch


def deepinv_or_skip() -> ModuleType:
    """Import deepinv, or skip the module and say what is missing."""
    for package in ("torchvision", "deepinv"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: make test-deepinv", allow_module_level=True)
    _declare_operators_of_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what others warn of at import is not ours to mend
        return importlib.import_module("deepinv")


def _declare_operators_of_torchvision() -> None:
    """Let torchvision be imported beside a torch without CUDA.

    Its wheel is compiled against CUDA. Where its library cannot be loaded, it still describes two of the operators in
    there, and fails because nobody declared them. deepinv calls neither.
    """
    if torch.version.cuda is None:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
