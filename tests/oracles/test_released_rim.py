"""The authors' 2019 RIM, run once: every step's estimate on copied weights."""

import numpy as np
import torch

from invrim import RIM, CartesianMRI, LeastSquares
from invrim.layers.link import to_channels
from invrim.operators import fft_centred
from shared_data import shared

RTOL = 1e-5
NAMES = {
    "rnn.layers.0.input_fun.conv_layer": "look",
    "rnn.layers.0.rnn_cell.ih": "first.reading",
    "rnn.layers.0.rnn_cell.hh": "first.keeping",
    "rnn.layers.1.input_fun.conv_layer": "widen",
    "rnn.layers.1.rnn_cell.ih": "second.reading",
    "rnn.layers.1.rnn_cell.hh": "second.keeping",
    "rnn.layers.2.input_fun.conv_layer": "correct",
}
"""Layer of a released checkpoint -> ours; tensors have the same shapes."""


def errors(*, recurrent: bool) -> torch.Tensor:
    """Relative, of the estimate after each of the four steps."""
    fixture = np.load(shared("parity/rim_as_released.npz"))
    model = RIM(steps=4, recurrent=recurrent)
    tensors = {}
    for key in fixture.files:
        if key.startswith("state/"):
            layer, kind = key.removeprefix("state/").rsplit(".", 1)
            tensors[f"{NAMES[layer]}.{kind}"] = torch.from_numpy(fixture[key])
    model.load_state_dict(tensors)
    mask = torch.from_numpy(fixture["mask"])[..., 0]
    start = torch.view_as_complex(torch.from_numpy(fixture["y"]))[:, 0]
    fidelity = LeastSquares(CartesianMRI(mask), mask * fft_centred(start)[:, None])
    with torch.no_grad():
        estimates = model.estimates(start, fidelity)
    expected = torch.from_numpy(fixture["etas"])
    found = torch.stack([to_channels(images[:, None]) for images in estimates])
    return (found - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)


def test_as_released():
    assert (errors(recurrent=False) < RTOL).all()


def test_passing_the_memory_on_is_noticed():
    found = errors(recurrent=True)
    assert found[0] < RTOL
    assert (found[1:] > 100 * RTOL).all()
