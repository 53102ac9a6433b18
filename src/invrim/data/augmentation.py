"""Variants of slices that a scanner could have measured as well."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from invrim.operators.fourier import fft_centred, ifft_centred


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Mirror a slice before it is undersampled, and keep some of its rows afterwards."""

    readout_crop: int | None = None
    """Keep this many rows, at a random place. Exact, because every point of the readout is measured."""
    flip: bool = False
    """Mirror each axis with probability one half."""

    def mirror(
        self, kspace: Tensor, target: Tensor, rng: np.random.Generator, *, columns: bool, rows: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Mirror k-space ``([n,] coil, ky, kx)`` and target ``([n,] y, x)`` alike, all slices of a run too.

        Parameters
        ----------
        kspace, target
            The target may be the centre of the image.
        rng
            Source of coin tosses.
        columns, rows
            Whether the axis may be mirrored: not a phase encoding of which lines are missing, for they would move.
        """
        tosses = rng.random(2) < 0.5
        allowed = (self.flip and rows, self.flip and columns)
        mirrored = [axis for axis, toss, may in zip((-2, -1), tosses, allowed, strict=True) if toss and may]
        if not mirrored:
            return kspace, target
        # A target smaller by an odd number of pixels is not quite central, and its mirror image one pixel off.
        shifts = [-((kspace.shape[axis] - target.shape[axis]) % 2) for axis in mirrored]
        images = ifft_centred(kspace).flip(mirrored).roll(shifts, mirrored)
        return fft_centred(images), target.flip(mirrored)

    def crop(
        self, kspace: Tensor, maps: Tensor | None, target: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Keep the same rows of k-space ``(..., coil, ky, kx)``, maps ``(..., coil, y, x)`` and target ``(..., y, x)``.

        Maps may be None. A target with fewer rows is the centre of the image, which is then what the rows are taken
        from. The columns of k-space stay as they are, missing ones too.
        """
        if self.readout_crop is None:
            return kspace, maps, target
        rows = min(self.readout_crop, target.shape[-2])
        first = int(rng.integers(target.shape[-2] - rows + 1))
        border = (kspace.shape[-2] - target.shape[-2]) // 2
        # Readout is y; along it alone, transformed as the last axis.
        lines = ifft_centred(kspace.mT, ndim=1).mT.narrow(-2, border + first, rows)
        maps = None if maps is None else maps.narrow(-2, border + first, rows)
        return fft_centred(lines.mT, ndim=1).mT, maps, target.narrow(-2, first, rows)
