"""Grey photographs that ship with scikit-image: some to learn from, others to be judged by."""

from __future__ import annotations

import functools

import skimage.data
import torch
from skimage.color import rgb2gray
from skimage.util import img_as_float32
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d

TRAINING = (
    "astronaut", "brick", "cell", "clock", "coffee", "grass", "gravel", "hubble_deep_field", "immunohistochemistry",
    "moon", "page", "retina", "stereo_motorcycle", "text",
)  # fmt: skip
HELD_BACK = ("camera", "chelsea", "coins", "rocket")


@functools.cache
def photograph(name: str) -> Tensor:
    """Return a photograph as grey levels from 0 to 1, ``(y, x)``; of a stereo pair, the left one."""
    image = getattr(skimage.data, name)()
    image = image[0] if isinstance(image, tuple) else image
    return torch.from_numpy(img_as_float32(rgb2gray(image) if image.ndim > 2 else image))


def crops(count: int, size: int, generator: Generator) -> Tensor:
    """Cut squares ``(count, size, size)`` out of training photographs, also of halved ones, turned and mirrored."""
    return torch.stack([_crop(size, generator) for _ in range(count)])


def _crop(size: int, generator: Generator) -> Tensor:
    image = photograph(TRAINING[_draw(len(TRAINING), generator)])
    if min(image.shape) > 2 * size and _draw(2, generator):
        image = avg_pool2d(image[None], 2)[0]
    y, x = (_draw(n - size + 1, generator) for n in image.shape)
    crop = image[y : y + size, x : x + size].rot90(_draw(4, generator))
    return crop.flip(0) if _draw(2, generator) else crop


def _draw(below: int, generator: Generator) -> int:
    return int(torch.randint(below, (), generator=generator))
