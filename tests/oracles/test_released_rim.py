"""The authors' 2019 RIM, run once: every step's estimate, against its checkpoint as we convert it."""

import numpy as np
import torch

from invrim import CartesianMRI, LeastSquares, load_model
from invrim.cli.main import main
from invrim.layers.link import to_channels
from invrim.operators import fft_centred
from released import write_checkpoint
from shared_data import shared

RTOL = 1e-5


def errors(folder, *, recurrent: bool) -> torch.Tensor:
    """Relative, of the estimate after each of the four steps."""
    fixture = np.load(shared("parity/rim_as_released.npz"))
    tensors = {
        f"model.{key.removeprefix('state/')}": torch.from_numpy(fixture[key])
        for key in fixture.files
        if key.startswith("state/")
    }
    checkpoint = write_checkpoint(folder / "model.pt", tensors, n_steps=4)
    assert main(["convert-weights", str(checkpoint), str(folder / "rim.safetensors")]) == 0
    model = load_model(folder / "rim.safetensors")
    assert not model.recurrent
    model.recurrent = recurrent
    mask = torch.from_numpy(fixture["mask"])[..., 0]
    start = torch.view_as_complex(torch.from_numpy(fixture["y"]))[:, 0]
    fidelity = LeastSquares(CartesianMRI(mask), mask * fft_centred(start)[:, None])
    with torch.no_grad():
        estimates = model.estimates(start, fidelity)
    expected = torch.from_numpy(fixture["etas"])
    found = torch.stack([to_channels(images[:, None]) for images in estimates])
    return (found - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)


def test_as_released(tmp_path):
    assert (errors(tmp_path, recurrent=False) < RTOL).all()


def test_passing_the_memory_on_is_noticed(tmp_path):
    found = errors(tmp_path, recurrent=True)
    assert found[0] < RTOL
    assert (found[1:] > 100 * RTOL).all()
