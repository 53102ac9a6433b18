"""The U-Net of fastMRI: the net of the `UNet` baseline and, normalised, of every cascade of a `VarNet`."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invrim.errors import OptionError, ShapeError
from invrim.layers.link import to_channels, to_images
from invrim.layers.scaling import nonzero
from invrim.layers.state import require_state
from invrim.typing import Image

_MULTIPLE = 16
"""To which fastMRI pads what goes into a normalised U-Net, whatever its depth."""


class UNetwork(nn.Module):
    """Down by average pooling, up by transposed convolutions, with skips between equal sizes.

    Every convolution but the last has no bias and is followed by instance normalisation and a leaky ReLU. Tensors are
    named and shaped as those of fastMRI's ``Unet``, so that ``load_state_dict`` takes its public weights as they are.

    Parameters
    ----------
    in_channels, out_channels
        Of input and output ``(b, channels, y, x)``.
    channels
        Width at full resolution; it doubles with every pooling.
    pools
        Times the resolution is halved; each side of the image has at least ``2 ** (pools + 1)`` pixels.
    dropout
        Probability with which a channel is left out in training.

    References
    ----------
    .. [Ronneberger15] Ronneberger et al., *U-Net: convolutional networks for biomedical image segmentation*,
       MICCAI 2015.
    .. [Z18] Zbontar et al., *fastMRI: an open dataset and benchmarks*, 2018; `fastmri.models.Unet`.
    """

    def __init__(self, in_channels: int, out_channels: int, channels: int, pools: int, dropout: float = 0.0) -> None:
        super().__init__()
        if pools < 1 or channels < 1 or not 0 <= dropout < 1:
            raise OptionError(
                f"expected pools and channels of at least 1 and 0 <= dropout < 1, got {pools}, {channels} and "
                f"{dropout:g}. Correct them, or keep the defaults."
            )
        self.in_channels = in_channels
        self.pools = pools
        widths = [in_channels, *(channels * 2**level for level in range(pools + 1))]
        *downs, self.conv = [_convolutions(a, b, dropout) for a, b in pairwise(widths)]
        self.down_sample_layers = nn.ModuleList(downs)
        pairs = list(pairwise(reversed(widths[1:])))
        self.up_transpose_conv = nn.ModuleList(_Layers(*_transposed(deep, flat)) for deep, flat in pairs)
        ups: list[nn.Module] = [_convolutions(deep, flat, dropout) for deep, flat in pairs]
        ups[-1] = nn.Sequential(ups[-1], nn.Conv2d(channels, out_channels, 1))
        self.up_conv = nn.ModuleList(ups)

    def forward(self, x: Tensor) -> Tensor:
        require_state(x, self.in_channels, 2)
        if min(x.shape[2:]) < 2 ** (self.pools + 1):
            raise ShapeError(
                f"expected images of at least {2 ** (self.pools + 1)} pixels along each side for {self.pools} pools, "
                f"got {tuple(x.shape[2:])}. Lower pools."
            )
        skips = []
        for down in self.down_sample_layers:
            x = down(x)
            skips.append(x)
            x = F.avg_pool2d(x, 2)
        x = self.conv(x)
        for transposed, up, skip in zip(self.up_transpose_conv, self.up_conv, reversed(skips), strict=True):
            x = up(torch.cat([_grow(transposed(x), skip), skip], dim=1))
        return x


class NormalisedUNetwork(nn.Module):
    """A U-Net from complex image to complex image, of any intensity: fastMRI's ``NormUnet``.

    Real and imaginary part are each brought to mean 0 and standard deviation 1, and back at the end; sides are padded
    with zeros to a multiple of 16.

    Parameters
    ----------
    channels, pools, dropout
        As of `UNetwork`.
    """

    def __init__(self, channels: int, pools: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.unet = UNetwork(2, 2, channels, pools, dropout)

    def forward(self, images: Image) -> Image:
        """Map ``(b, y, x)`` to the same shape."""
        x = to_channels(images[:, None])
        require_state(x, 2, 2)
        mean = x.mean(dim=(-2, -1), keepdim=True)
        std = x.std(dim=(-2, -1), keepdim=True)
        normalised = (x - mean) / nonzero(std)
        (top, bottom), (left, right) = (_margins(n) for n in x.shape[2:])
        y = self.unet(F.pad(normalised, (left, right, top, bottom))).to(x.dtype)
        y = y[..., top : top + x.shape[-2], left : left + x.shape[-1]]
        return to_images(y * std + mean)[:, 0]


class _Layers(nn.Module):
    """A sequence under the name that fastMRI's tensors have."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


def _convolutions(in_channels: int, out_channels: int, dropout: float) -> nn.Module:
    """Two 3×3 convolutions, each with what follows it; a dropout of 0 keeps its place in the numbering."""
    layers: list[nn.Module] = []
    for width in (in_channels, out_channels):
        convolution = nn.Conv2d(width, out_channels, 3, padding=1, bias=False)
        layers += [*_activated(convolution, out_channels), nn.Dropout2d(dropout)]
    return _Layers(*layers)


def _transposed(in_channels: int, out_channels: int) -> list[nn.Module]:
    return _activated(nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2, bias=False), out_channels)


def _activated(convolution: nn.Module, channels: int) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(channels), nn.LeakyReLU(0.2, inplace=True)]


def _grow(x: Tensor, like: Tensor) -> Tensor:
    """Reflect the last row and column where pooling dropped an odd one."""
    missing = [a - b for a, b in zip(like.shape[2:], x.shape[2:], strict=True)]
    return F.pad(x, (0, missing[1], 0, missing[0]), mode="reflect") if any(missing) else x


def _margins(size: int) -> tuple[int, int]:
    missing = -size % _MULTIPLE
    return missing // 2, missing - missing // 2
