"""How much better than Wiener's filter and total variation does an i-RIM undo the shake of a camera?

python examples/deconvolution.py    # three quarters of an hour

Every photograph is blurred by a shake of its own, periodically, and noise is added; the kernel is known. The i-RIM has
seen neither the held-back photographs nor their kernels. Wiener's filter is scikit-image's; total variation is solved
by ADMM. The weight of both is the best of several for every image.
"""

from __future__ import annotations

import torch
from skimage.restoration import wiener
from torch import Generator, Tensor

from invrim.operators import Filter, LeastSquares, RealPart, convolution
from photographs import HELD_BACK, crops, photograph
from workbench import Bench, psnr

NOISE, ROUGHNESS = 0.01, 0.005
"""Standard deviation of the noise, where white is 1; and what a Laplacian costs in the filter that the model sees."""
KERNEL, MOMENTS = 13, 64
"""Pixels along the sides of a kernel, and points along the camera's path."""
PATCH, BATCH, UPDATES = 96, 2, 7500
LAPLACIAN = torch.tensor([[[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]]])
BALANCES = [10 ** (-k / 4) for k in range(2, 15)]
"""Of Wiener's filter: how much roughness costs."""
TV_WEIGHTS = [5e-4, 7e-4, 1e-3, 1.4e-3, 2e-3]
TV_ITERATIONS, TV_PENALTY = 60, 20.0


def shakes(count: int, generator: Generator) -> Tensor:
    """Draw kernels ``(count, y, x)`` of sum 1: paths of a camera whose velocity changes at random."""
    velocity = torch.randn(count, 2, MOMENTS, generator=generator).cumsum(dim=2)
    path = velocity.cumsum(dim=2)
    path = path - path.mean(dim=2, keepdim=True)
    reach = 2 + 3 * torch.rand(count, 1, 1, generator=generator)
    path = reach * path / path.abs().amax(dim=(1, 2), keepdim=True)
    pixels = torch.arange(KERNEL) - KERNEL // 2
    nearness = torch.exp(-(((pixels[:, None] - path[:, :, None]) / 0.6) ** 2) / 2)
    kernels = torch.einsum("nyt,nxt->nyx", nearness[:, 0], nearness[:, 1])
    return kernels / kernels.sum(dim=(1, 2), keepdim=True)


def photographed(images: Tensor, kernels: Tensor, generator: Generator) -> Tensor:
    """Blur images ``(b, y, x)``, each by its kernel, and add noise."""
    data = convolution(kernels, images.shape[1:])(images)
    return data + NOISE * torch.randn(data.shape, generator=generator)


def whitened(data: Tensor, kernels: Tensor) -> LeastSquares:
    """Return what the model sees: the physics after a filter that makes its gain more alike for all frequencies.

    The back-projected data are then those of Wiener's filter, instead of data that are blurred twice.
    """
    size = data.shape[1:]
    blur, laplacian = convolution(kernels, size), convolution(LAPLACIAN, size)
    whitening = Filter((blur.transfer.abs() ** 2 + ROUGHNESS * laplacian.transfer.abs() ** 2).rsqrt())
    return LeastSquares(whitening @ blur @ RealPart(), whitening(data))


def total_variation(data: Tensor, kernel: Tensor, weight: float) -> Tensor:
    """Minimise ``1/2 ||A x - d||^2 + weight sum |grad x|`` by ADMM; periodic, so that every solve is a division."""
    spike = torch.zeros_like(data)
    spike[0, 0, 0] = 1
    laplacian = torch.fft.rfft2(divergence(gradient(spike))).real
    transfer = torch.fft.rfft2(convolution(kernel, data.shape[1:])(spike))
    penalty = weight * TV_PENALTY
    blurred, curvature = transfer.conj() * torch.fft.rfft2(data), transfer.abs() ** 2 + penalty * laplacian
    x, dual = data, torch.zeros(2, *data.shape)
    for _ in range(TV_ITERATIONS):
        steps = gradient(x) + dual
        sparse = steps * (1 - 1 / TV_PENALTY / steps.norm(dim=0).clamp_min(1e-12)).clamp_min(0)
        dual = steps - sparse
        pull = torch.fft.rfft2(divergence(sparse - dual))
        x = torch.fft.irfft2((blurred + penalty * pull) / curvature, s=data.shape[1:])
    return x[0]


def gradient(x: Tensor) -> Tensor:
    return torch.stack([x - x.roll(1, dims=axis) for axis in (1, 2)])


def divergence(steps: Tensor) -> Tensor:
    """Adjoint of `gradient`."""
    return sum(step - step.roll(-1, dims=axis) for step, axis in zip(steps, (1, 2), strict=True))


def main() -> None:
    bench = Bench("deconvolution", __doc__, UPDATES)
    generator = torch.Generator().manual_seed(0)

    def draw() -> tuple[LeastSquares, Tensor]:
        images, kernels = crops(BATCH, PATCH, generator), shakes(BATCH, generator)
        return whitened(photographed(images, kernels, generator), kernels), images

    model = bench.train(draw, hidden=[24, 48, 64])
    generator.manual_seed(1)
    for name in HELD_BACK:
        target = photograph(name)
        kernel = shakes(1, generator)
        data = photographed(target[None], kernel, generator)
        filtered = [wiener(data[0].numpy(), kernel[0].numpy(), balance, clip=False) for balance in BALANCES]
        smooth = [total_variation(data, kernel, weight) for weight in TV_WEIGHTS]
        images = {
            "blurred": data[0],
            "Wiener": max(filtered, key=lambda image: psnr(image, target)),
            "TV": max(smooth, key=lambda image: psnr(image, target)),
            "i-RIM": model(whitened(data, kernel))[0],
        }
        bench.score(name, name, target, images)
    bench.finish({"noise": NOISE, "kernel": KERNEL, "roughness": ROUGHNESS})


if __name__ == "__main__":
    main()
