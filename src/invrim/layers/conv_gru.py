"""The gated memory of the recurrent inference machine."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvGRU(nn.Module):
    r"""Gated recurrent unit at every pixel, by 1×1 convolutions.

    .. math::
        z = \sigma(W_z x + V_z h), \quad r = \sigma(W_r x + V_r h), \quad
        n = \tanh(W_n x + r \cdot V_n h), \quad h \leftarrow z n + (1 - z) h

    with a bias for every product. The gates lie in the order z, r, n along the channels of both convolutions, and an
    open update gate takes the new value, as in the released RIM (``torch.nn.GRU`` has r, z, n and the opposite gate).

    Parameters
    ----------
    channels, hidden
        Of the input ``(b, channels, y, x)`` and of the memory ``(b, hidden, y, x)``.

    References
    ----------
    .. [Cho14] Cho et al., *Learning phrase representations using RNN encoder-decoder*, EMNLP 2014.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.reading = nn.Conv2d(channels, 3 * hidden, 1)
        self.keeping = nn.Conv2d(hidden, 3 * hidden, 1)
        for convolution in (self.reading, self.keeping):
            for gate in convolution.weight.data.chunk(3):
                nn.init.orthogonal_(gate)
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Return the memory after ``x`` was seen; it is also the output."""
        update_x, reset_x, new_x = self.reading(x).chunk(3, dim=1)
        update_h, reset_h, new_h = self.keeping(h).chunk(3, dim=1)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        return update * new + (1 - update) * h

    def empty(self, x: Tensor) -> Tensor:
        """Return the memory before anything was seen, zeros ``(b, hidden, y, x)``."""
        return x.new_zeros(x.shape[0], self.hidden, *x.shape[2:])
