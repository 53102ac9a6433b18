"""The discrete Fourier transform of MRI: centred and orthonormal."""

from collections.abc import Callable

import torch
from torch import Tensor

from invrim.operators.base import LinearOperator


def fft_centred(x: Tensor, ndim: int = 2) -> Tensor:
    """Transform the last ``ndim`` axes, image to k-space; zero frequency at index ``n // 2``, unitary."""
    axes = tuple(range(-ndim, 0))
    x = torch.fft.ifftshift(x, dim=axes)
    return torch.fft.fftshift(torch.fft.fftn(x, dim=axes, norm="ortho"), dim=axes)


def ifft_centred(k: Tensor, ndim: int = 2) -> Tensor:
    """Transform the last ``ndim`` axes, k-space to image; inverse and adjoint of `fft_centred`."""
    axes = tuple(range(-ndim, 0))
    k = torch.fft.ifftshift(k, dim=axes)
    return torch.fft.fftshift(torch.fft.ifftn(k, dim=axes, norm="ortho"), dim=axes)


def along_axis(transform: Callable[[Tensor, int], Tensor], x: Tensor, dim: int) -> Tensor:
    """Apply `fft_centred` or `ifft_centred` along one axis, whichever it is."""
    return transform(x.movedim(dim, -1), 1).movedim(-1, dim)


class FourierTransform(LinearOperator):
    """Centred orthonormal Fourier transform over the last ``ndim`` axes; any axes before them are batch."""

    def __init__(self, ndim: int = 2) -> None:
        super().__init__()
        self.ndim = ndim

    def forward(self, x: Tensor) -> Tensor:
        return fft_centred(x, self.ndim)

    def adjoint(self, y: Tensor) -> Tensor:
        return ifft_centred(y, self.ndim)

    def normal(self, x: Tensor) -> Tensor:
        return x
