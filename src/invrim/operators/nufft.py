"""The Fourier transform of an image at any points of k-space, by FINUFFT."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from invrim.errors import DataError, MissingExtraError, OptionError, ShapeError
from invrim.operators.base import LinearOperator
from invrim.operators.toeplitz import convolve, transfer_function

_EDGE = 0.5 * (1 + 1e-4)
"""Largest frequency, in cycles per pixel, but for rounding; beyond it waves look like slower ones."""
_TOLERANCE = {torch.complex64: 1e-6, torch.complex128: 1e-12}
"""Relative error that is asked of FINUFFT: what is above round-off."""

Map = Callable[[Tensor], Tensor]


class NonuniformFourierTransform(LinearOperator):
    r"""Fourier transform at the points of a trajectory, :math:`W^{1/2} F`, over the last two or three axes.

    Centred and orthonormal as `invrim.operators.FourierTransform`, which it equals on the Cartesian grid, where point
    ``m`` of ``n`` is at ``(m - n // 2) / n`` cycles per pixel. All images of a call are transformed by one plan.

    ``normal`` needs no points: :math:`F^H W F` is a convolution, done by two Fourier transforms of twice the size
    (Toeplitz embedding). Its transfer function is made here, once, in float64.

    Parameters
    ----------
    trajectory
        In cycles per pixel, -0.5 to 0.5, real ``(..., ndim)`` such as ``(spokes, readout, 2)``; the last axis is
        ``(ky, kx)`` or ``(kz, ky, kx)``. float32 is for complex64 images, float64 for complex128. It cannot be learned.
    size
        Of the images, ``([z,] y, x)``.
    weights
        w, not negative, one for each sample, e.g. `invrim.operators.density_compensation`; None: 1. Measured samples
        have to be weighted alike, see `weigh`.

    Images ``(..., [z,] y, x)``, samples ``(..., *trajectory.shape[:-1])``.

    References
    ----------
    .. [Barnett19] Barnett, Magland & af Klinteberg, *A parallel nonuniform fast Fourier transform library based on an
       "exponential of semicircle" kernel*, SIAM J. Sci. Comput. 41, 2019.
    .. [Fessler05] Fessler et al., *Toeplitz-based iterative image reconstruction for MRI with correction for magnetic
       field inhomogeneity*, IEEE Trans. Signal Process. 53, 2005.
    """

    points: Tensor
    root: Tensor
    transfer: Tensor

    def __init__(self, trajectory: Tensor, size: Sequence[int], weights: Tensor | None = None) -> None:
        super().__init__()
        self.size = tuple(size)
        self.register_buffer("points", points_of(trajectory, self.size))
        self.samples = tuple(trajectory.shape[:-1])
        weights = torch.ones_like(trajectory[..., 0]) if weights is None else weights
        _check_weights(weights, self.samples)
        self.register_buffer("root", weights.to(trajectory.dtype).sqrt())
        spread = nufft_adjoint(weights.double().flatten() + 0j, self.points, [2 * n - 1 for n in self.size])
        self.register_buffer("transfer", transfer_function(spread / math.prod(self.size)).to(trajectory.dtype))

    def forward(self, x: Tensor) -> Tensor:
        self._require(x, self.size, "images")
        samples = nufft(x, self.points) / math.prod(self.size) ** 0.5
        return self.weigh(samples.unflatten(-1, self.samples))

    def adjoint(self, y: Tensor) -> Tensor:
        weighted = self.weigh(y).flatten(-len(self.samples))
        return nufft_adjoint(weighted, self.points, self.size) / math.prod(self.size) ** 0.5

    def normal(self, x: Tensor) -> Tensor:
        self._require(x, self.size, "images")
        return convolve(x, self.transfer)

    def weigh(self, samples: Tensor) -> Tensor:
        """Multiply measured samples by the root of their weights, so that they are what the operator predicts."""
        self._require(samples, self.samples, "samples")
        return self.root * samples

    def _require(self, x: Tensor, size: tuple[int, ...], what: str) -> None:
        dtype = self.root.dtype.to_complex()
        if tuple(x.shape[-len(size) :]) != size or x.dtype != dtype:
            raise ShapeError(
                f"expected {dtype} {what} (..., {', '.join(map(str, size))}) as size and trajectory are, got {x.dtype} "
                f"{tuple(x.shape)}. Build the operator for this size and trajectory, in this precision."
            )


def points_of(trajectory: Tensor, size: Sequence[int]) -> Tensor:
    """Return a trajectory's points in radians per pixel, float64 ``(ndim, samples)``; refuse what is not one."""
    ndim = len(size)
    if ndim not in {2, 3} or trajectory.ndim < 2 or trajectory.shape[-1] != ndim or not trajectory.is_floating_point():
        raise ShapeError(
            f"expected a real trajectory (..., ndim), one coordinate for each axis of images of size {tuple(size)}, 2 "
            f"or 3, got {trajectory.dtype} {tuple(trajectory.shape)}. Put (ky, kx) or (kz, ky, kx) last."
        )
    if trajectory.requires_grad:
        raise OptionError("expected a fixed trajectory, got one that requires a gradient. Detach it.")
    largest = float(trajectory.abs().amax()) if trajectory.numel() else 0.0
    if not largest <= _EDGE:
        raise DataError(
            f"expected a trajectory in cycles per pixel, -0.5 to 0.5, got values up to {largest:g}. Divide cycles per "
            f"field of view by the matrix size, radians per pixel by 2 pi."
        )
    return 2 * math.pi * trajectory.double().reshape(-1, ndim).T.contiguous()


def nufft(images: Tensor, points: Tensor, tolerance: float | None = None) -> Tensor:
    """Sum the images' pixels times ``exp(-i k n)``, ``(..., [z,] y, x) -> (..., samples)``; no scale, no weights.

    Parameters
    ----------
    images
        Complex; ``n`` counts pixels from ``size // 2``.
    points
        k, as `points_of` returns it.
    tolerance
        Relative error; None: about round-off.
    """
    size = tuple(images.shape[-len(points) :])
    there = partial(_to_samples, points=points, tolerance=tolerance)
    back = partial(_to_images, points=points, size=size, tolerance=tolerance)
    return _linear(images, there, back)


def nufft_adjoint(samples: Tensor, points: Tensor, size: Sequence[int], tolerance: float | None = None) -> Tensor:
    """Sum waves ``exp(+i k n)`` times the samples, ``(..., samples) -> (..., [z,] y, x)``; adjoint of `nufft`."""
    there = partial(_to_images, points=points, size=tuple(size), tolerance=tolerance)
    back = partial(_to_samples, points=points, tolerance=tolerance)
    return _linear(samples, there, back)


def _to_samples(images: Tensor, *, points: Tensor, tolerance: float | None) -> Tensor:
    leading = images.shape[: -len(points)]
    plain = images.resolve_conj().reshape(-1, *images.shape[-len(points) :]).contiguous()
    samples = _finufft().finufft_type2(points.to(plain.real.dtype), plain, isign=-1, **_options(plain, tolerance))
    return samples.reshape(*leading, -1)


def _to_images(samples: Tensor, *, points: Tensor, size: tuple[int, ...], tolerance: float | None) -> Tensor:
    plain = samples.resolve_conj().reshape(-1, samples.shape[-1]).contiguous()
    points = points.to(plain.real.dtype)
    images = _finufft().finufft_type1(points, plain, size, isign=1, **_options(plain, tolerance))
    return images.reshape(*samples.shape[:-1], *size)


def _options(values: Tensor, tolerance: float | None) -> dict[str, Any]:
    """Centred images; as many threads as torch uses."""
    threads = {"nthreads": torch.get_num_threads()} if values.device.type == "cpu" else {}
    return {"modeord": 0, "eps": tolerance or _TOLERANCE[values.dtype], **threads}


def _finufft() -> ModuleType:
    try:
        from pytorch_finufft import functional
    except ImportError as error:
        raise MissingExtraError(
            "expected pytorch-finufft for trajectories off the grid, got none. Run: pip install invrim[nufft]"
        ) from error
    return functional


def _linear(x: Tensor, there: Map, back: Map) -> Tensor:
    y: Tensor = _Linear.apply(x, there, back)
    return y


class _Linear(torch.autograd.Function):
    """A linear map whose derivative is its adjoint, again and again; pytorch-finufft's own is differentiable once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Map, back: Map) -> Tensor:
        ctx.maps = back, there
        return there(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _linear(grads[0], *ctx.maps), None, None


def _check_weights(weights: Tensor, samples: tuple[int, ...]) -> None:
    if tuple(weights.shape) != samples or weights.is_complex():
        raise ShapeError(
            f"expected real weights {samples}, one for each sample of the trajectory, got {weights.dtype} "
            f"{tuple(weights.shape)}. Leave out its last axis, and repeat what is the same for all spokes."
        )
    smallest = float(weights.detach().min())
    if not smallest >= 0:
        raise DataError(f"expected weights that are not negative, got {smallest:g}. Correct them.")
