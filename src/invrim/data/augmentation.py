"""Variants of a fully encoded slice that a scanner could have measured as well."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from invrim.operators.fourier import fft_centred, ifft_centred


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Crop and mirror in image space, and transform back."""

    readout_crop: int | None = None
    """Keep this many rows, at a random place. Exact, because every point of the readout is measured."""
    flip: bool = False
    """Mirror each axis with probability one half."""

    def __call__(
        self, kspace: Tensor, target: Tensor, rng: np.random.Generator, *, mirror_columns: bool
    ) -> tuple[Tensor, Tensor]:
        """Change k-space ``(coil, ky, kx)`` and target ``(y, x)`` alike.

        Parameters
        ----------
        kspace, target
            A target with fewer rows is the centre of the image, which is then what the crop is taken from.
        rng
            Source of places and coin tosses.
        mirror_columns
            Whether the phase encoding may be mirrored: not if lines are missing, for they would move.
        """
        tosses = rng.random(2) < 0.5
        allowed = (self.flip, self.flip and mirror_columns)
        mirrored = [axis for axis, toss, may in zip((-2, -1), tosses, allowed, strict=True) if toss and may]
        rows = min(self.readout_crop or target.shape[-2], target.shape[-2])
        if not mirrored and (self.readout_crop is None or rows == kspace.shape[-2]):
            return kspace, target
        image = ifft_centred(kspace)
        if self.readout_crop is not None:
            first = int(rng.integers(target.shape[-2] - rows + 1))
            border = (image.shape[-2] - target.shape[-2]) // 2
            image, target = image.narrow(-2, border + first, rows), target.narrow(-2, first, rows)
        return fft_centred(image.flip(mirrored)), target.flip(mirrored)
