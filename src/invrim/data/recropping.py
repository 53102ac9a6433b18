"""Another field of view for a fully sampled slice, as the published i-RIM was trained."""

import torch.nn.functional as F
from torch import Tensor

from invrim.operators.fourier import fft_centred, ifft_centred


def recrop(kspace: Tensor, size: int) -> Tensor:
    """K-space of the image cropped to its central square, or padded with zeros where it is smaller.

    No scanner measured it: lines lie elsewhere than those that it comes from. All must have been measured.

    Parameters
    ----------
    kspace
        Complex ``(..., ky, kx)``.
    size
        Rows and columns of the square.

    References
    ----------
    .. [P19b] Putzky et al., *i-RIM applied to the fastMRI challenge*, arXiv 1910.08952, and the code released with it.
    """
    widths = []
    for n in reversed(kspace.shape[-2:]):
        before = -((n - size) // 2)
        widths += [before, size - n - before]
    return fft_centred(F.pad(ifft_centred(kspace), widths))
