"""Blur: what a lens out of focus, or a camera that moves, does to an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invrim.errors import ShapeError
from invrim.operators.base import LinearOperator


class Convolution(LinearOperator):
    """Convolve images with a kernel, periodically: what leaves at one border comes in at the other.

    A kernel that is nowhere negative and sums to 1 makes an operator of norm 1.

    Parameters
    ----------
    kernel
        Real or complex ``(b or 1, [kz,] ky, kx)``, one for each image or one for all; its centre is at index
        ``n // 2``. Gradients reach it.
    size
        Of the images, ``([z,] y, x)``, at least the kernel's.

    Images ``(b, [z,] y, x)``, real or complex, in and out. Costs two Fourier transforms.
    """

    transfer: Tensor

    def __init__(self, kernel: Tensor, size: Sequence[int]) -> None:
        super().__init__()
        extent = tuple(kernel.shape[1:])
        if len(extent) != len(size) or any(k > n for k, n in zip(extent, size, strict=True)):
            raise ShapeError(
                f"expected a kernel (b or 1, ...) that fits into images of {tuple(size)}, got {tuple(kernel.shape)}. "
                f"Crop it, and give it a first axis."
            )
        self.axes = tuple(range(1, kernel.ndim))
        self.size = tuple(size)
        self.is_real = not kernel.is_complex()
        padded = kernel.new_zeros(len(kernel), *size)
        padded[(slice(None), *(slice(k) for k in extent))] = kernel
        centred = padded.roll([-(k // 2) for k in extent], dims=self.axes)
        self.register_buffer("transfer", torch.fft.fftn(centred, dim=self.axes))

    def forward(self, x: Tensor) -> Tensor:
        return self._filter(x, self.transfer)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._filter(y, self.transfer.conj())

    def normal(self, x: Tensor) -> Tensor:
        return self._filter(x, self.transfer.abs() ** 2)

    def _filter(self, x: Tensor, transfer: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.size or len(transfer) not in (1, len(x)):
            batch = "b" if len(transfer) == 1 else len(transfer)
            raise ShapeError(
                f"expected images ({batch}, {', '.join(map(str, self.size))}) as the kernel was given for, "
                f"got {tuple(x.shape)}. Build the convolution for the size and the batch of the images."
            )
        spectrum = transfer * torch.fft.fftn(x, dim=self.axes)
        filtered = torch.fft.ifftn(spectrum, dim=self.axes)
        return filtered.real if self.is_real and not x.is_complex() else filtered
