"""Blur: what a lens out of focus, or a camera that moves, does to an image; and filters of any other kind."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invrim.errors import ShapeError
from invrim.operators.base import LinearOperator


class Filter(LinearOperator):
    """Multiply the Fourier transform by a transfer function; periodic, what leaves at one border comes in at the other.

    Parameters
    ----------
    transfer
        ``(b or 1, [z,] y, x)``, one for each image or one for all, as `torch.fft.fftn` lays out frequencies: zero
        first. An axis of size 1 means *the same along it* and is not transformed. Gradients reach it.
    is_real
        Whether it makes real images of real ones, as the transfer function of a real kernel does.

    Images ``(b, [z,] y, x)``, real or complex, in and out. Costs two Fourier transforms, its normal operator too.
    """

    transfer: Tensor

    def __init__(self, transfer: Tensor, *, is_real: bool = True) -> None:
        super().__init__()
        self.register_buffer("transfer", transfer)
        self.is_real = is_real

    def forward(self, x: Tensor) -> Tensor:
        return self._multiply(x, self.transfer)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._multiply(y, self.transfer.conj())

    def normal(self, x: Tensor) -> Tensor:
        return self._multiply(x, self.transfer.abs() ** 2)

    def _multiply(self, x: Tensor, transfer: Tensor) -> Tensor:
        batch, *sizes = transfer.shape
        fits = x.ndim == transfer.ndim and batch in (1, len(x))
        if not fits or any(n not in (1, size) for n, size in zip(sizes, x.shape[1:], strict=True)):
            raise ShapeError(
                f"expected images of the filter's batch and size, {tuple(transfer.shape)} (1 means any), "
                f"got {tuple(x.shape)}. Build the filter for these images."
            )
        axes = [axis for axis in range(1, x.ndim) if sizes[axis - 1] > 1]
        filtered = torch.fft.ifftn(transfer * torch.fft.fftn(x, dim=axes), dim=axes)
        return filtered.real if self.is_real and not x.is_complex() else filtered


def convolution(kernel: Tensor, size: Sequence[int]) -> Filter:
    """Return the filter that convolves images with a kernel, periodically.

    A kernel that is nowhere negative and sums to 1 makes an operator of norm 1.

    Parameters
    ----------
    kernel
        Real or complex ``(b or 1, [kz,] ky, kx)``; its centre is at index ``n // 2``. Gradients reach it.
    size
        Of the images, ``([z,] y, x)``, at least the kernel's.
    """
    extent = tuple(kernel.shape[1:])
    if len(extent) != len(size) or any(k > n for k, n in zip(extent, size, strict=True)):
        raise ShapeError(
            f"expected a kernel (b or 1, ...) that fits into images of {tuple(size)}, got {tuple(kernel.shape)}. "
            f"Crop it, and give it a first axis."
        )
    axes = tuple(range(1, kernel.ndim))
    padded = kernel.new_zeros(len(kernel), *size)
    padded[(slice(None), *(slice(k) for k in extent))] = kernel
    centred = padded.roll([-(k // 2) for k in extent], dims=axes)
    return Filter(torch.fft.fftn(centred, dim=axes), is_real=not kernel.is_complex())
