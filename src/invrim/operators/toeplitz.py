"""Convolution of an image with a point-spread function twice its size, which is what a Gram matrix of waves does."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_AT_ONCE = {"cpu": 2**18}
"""Voxels, padding included, of the images that are transformed together. On a processor more than fit into its cache
take up to three times as long; elsewhere many are needed to keep a device busy."""
_AT_ONCE_ELSEWHERE = 2**26


def transfer_function(spread: Tensor) -> Tensor:
    """Prepare a point-spread function for `convolve`.

    Parameters
    ----------
    spread
        Complex ``(2 n - 1, ...)``, one axis for each of an image's ``(n, ...)``: every lag from ``1 - n`` to
        ``n - 1``. It must be conjugate-symmetric, as that of ``A^H A`` is; the result is then real, and the
        convolution equal to its own adjoint.

    Returns
    -------
    Real, zero frequency first, of the next lengths that a fast Fourier transform likes.
    """
    lengths = [fast_length(n) for n in spread.shape]
    padded = spread.new_zeros(lengths)
    padded[tuple(slice(n) for n in spread.shape)] = spread
    axes = tuple(range(spread.ndim))
    return torch.fft.fftn(padded.roll([-(n // 2) for n in spread.shape], dims=axes)).real


def convolve(images: Tensor, transfer: Tensor) -> Tensor:
    """Convolve the last axes of ``(..., [z,] y, x)`` with a point-spread function; nothing wraps around.

    Two Fourier transforms of the transfer function's size, a few images at a time: what is padded is never there for
    all of them.
    """
    size = images.shape[-transfer.ndim :]
    axes = tuple(range(-transfer.ndim, 0))
    middle = (..., *(slice(n) for n in size))
    at_once = max(1, _AT_ONCE.get(images.device.type, _AT_ONCE_ELSEWHERE) // transfer.numel())
    parts = images.reshape(-1, *size).split(at_once)
    done = [
        torch.fft.ifftn(transfer * torch.fft.fftn(part, s=transfer.shape, dim=axes), dim=axes)[middle] for part in parts
    ]
    return torch.cat(done).reshape(images.shape)


def fast_length(n: int) -> int:
    """The smallest length from ``n`` on without a prime factor above 5: others take two to four times as long."""
    while n != math.gcd(n, 30 ** n.bit_length()):
        n += 1
    return n
