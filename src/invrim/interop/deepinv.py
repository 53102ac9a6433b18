"""deepinv both ways: its physics drive our models, and our models are its reconstructors.

Needs ``pip install invrim[deepinv]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from invrim.errors import MissingExtraError, OptionError
from invrim.layers.link import fold, to_channels, to_images, unfold
from invrim.models import IRIM
from invrim.operators import LeastSquares, LinearOperator
from invrim.typing import Image

try:
    from deepinv.models import Reconstructor
    from deepinv.physics import LinearPhysics
    from deepinv.utils import TensorList
except ImportError as error:
    raise MissingExtraError(
        f"expected deepinv, got none that can be imported ({error}). Run: pip install invrim[deepinv]"
    ) from error


class PhysicsOperator(LinearOperator):
    """A deepinv physics as an operator on deepinv's own images, ``(b, c, [z,] y, x)``; without its noise.

    Where the physics' parameters, such as a blur's kernel, require gradients, training an i-RIM gives them exact ones.
    """

    def __init__(self, physics: LinearPhysics) -> None:
        super().__init__()
        if not isinstance(physics, LinearPhysics):
            raise OptionError(
                f"expected a deepinv LinearPhysics, got {type(physics).__name__}. A model here needs an adjoint."
            )
        self.physics = physics

    def forward(self, x: Tensor) -> Tensor:
        return self.physics.A(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.physics.A_adjoint(y)

    def normal(self, x: Tensor) -> Tensor:
        return self.physics.A_adjoint_A(x)


class ImageChannels(LinearOperator):
    """Lay out complex images as deepinv does: two real channels are one complex image, any others are real images.

    Images ``(b, [z,] y, x)`` of one image, else ``(b, c, [z,] y, x)``; channels ``(b, c, [z,] y, x)``. Linear over the
    real numbers, see `invrim.operators.RealPart`; physics whose channels are complex themselves take them as they are.
    """

    def __init__(self, channels: int, *, is_complex: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.is_complex = is_complex
        self.is_pair = channels == 2 and not is_complex
        self.images = 1 if self.is_pair else channels

    def forward(self, x: Image) -> Tensor:
        if self.is_pair:
            return to_channels(unfold(x, self.images))
        return unfold(x if self.is_complex else x.real, self.images)

    def adjoint(self, y: Tensor) -> Image:
        if self.is_pair:
            return fold(to_images(y), self.images)
        return fold(y if self.is_complex else torch.complex(y, torch.zeros_like(y)), self.images)


class Stack(LinearOperator):
    """Join the measurements of a stack of physics to one tensor ``(b, n)``."""

    def __init__(self, sizes: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.sizes = [tuple(size) for size in sizes]

    def forward(self, x: Any) -> Tensor:
        return torch.cat([part.flatten(1) for part in x], dim=1)

    def adjoint(self, y: Tensor) -> Any:
        parts = y.split([torch.Size(size).numel() for size in self.sizes], dim=1)
        return TensorList([part.unflatten(1, size) for part, size in zip(parts, self.sizes, strict=True)])


def least_squares(y: Any, physics: LinearPhysics) -> LeastSquares:
    """Return the data fidelity of a deepinv measurement, which any model here reconstructs.

    Parameters
    ----------
    y
        As ``physics(x)`` returns it: a tensor, or a `TensorList` of a stack.
    physics
        Linear. Its norm should be near 1, as deepinv's own are; see `invrim.operators.operator_norm`.
    """
    operator: LinearOperator = PhysicsOperator(physics)
    sample = operator.adjoint(y)
    operator = operator @ ImageChannels(sample.shape[1], is_complex=sample.is_complex())
    if isinstance(y, TensorList):
        stack = Stack([part.shape[1:] for part in y])
        operator, y = stack @ operator, stack(y)
    return LeastSquares(operator, y)


class IRIMReconstructor(Reconstructor):
    """An i-RIM as deepinv's solvers are called: ``reconstructor(y, physics)`` returns deepinv's images.

    Train it as any of theirs, e.g. with `deepinv.Trainer`; its memory still does not grow with its depth.

    Parameters
    ----------
    model
        With ``images`` as many as the physics' channels, but 1 where these are the two of a complex image.
    """

    def __init__(self, model: IRIM) -> None:
        super().__init__()
        self.model = model

    def forward(self, y: Any, physics: LinearPhysics) -> Tensor:
        fidelity = least_squares(y, physics)
        channels = next(module for module in fidelity.modules() if isinstance(module, ImageChannels))
        if channels.images != self.model.images:
            raise OptionError(
                f"expected a model of {channels.images} images for physics of {channels.channels} channels, got one of "
                f"{self.model.images}. Build it with IRIM(images={channels.images}, ...)."
            )
        return channels(self.model(fidelity))
