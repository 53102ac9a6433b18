"""The link Psi between the real estimate eta and the complex images that physics knows."""

from __future__ import annotations

import torch
from torch import Tensor

from invrim.typing import Image, State


def to_images(eta: State) -> Image:
    """Psi: ``(b, 2 n, ...)`` real, all real parts before all imaginary parts, to ``(b, n, ...)`` complex."""
    real, imaginary = eta.chunk(2, dim=1)
    return torch.complex(real, imaginary)


def to_channels(images: Image) -> State:
    """Undo `to_images`; as Psi is orthogonal, also its adjoint: a complex gradient becomes the real one."""
    return torch.cat([images.real, images.imag], dim=1)


def fold(images: Tensor, per_call: int) -> Tensor:
    """Drop the image axis where the physics has a single image: ``(b, 1, ...) -> (b, ...)``."""
    return images.squeeze(1) if per_call == 1 else images


def unfold(images: Tensor, per_call: int) -> Tensor:
    """Undo `fold`."""
    return images.unsqueeze(1) if per_call == 1 else images
