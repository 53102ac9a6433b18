"""The authors' 2019 code, run once: output, final state and parameter gradients on copied weights."""

import json

import numpy as np
import pytest
import torch

from invrim import IRIM, CartesianMRI, LeastSquares
from invrim.operators import FourierTransform, LinearOperator, Rescaled, SamplingMask, fft_centred
from shared_data import shared

RTOL = 1e-5
"""What float32 allows after some ten blocks."""
RTOL_REFLECTIONS = 5e-4
"""For gradients of the reflections. The authors multiply reflections in float32: our own gradients, in float32 and in
float64 alike, differ from theirs by 1.8e-4 in these tensors and by 4e-6 in all others."""

_LAYERS = {"l1": "down", "l2": "middle", "l3": "up"}
_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}


def our_name(theirs: str, blocks_per_step: int) -> str | None:
    """Name of a released checkpoint's tensor in our model; None for what ours derives."""
    parts = theirs.split(".")
    if parts[0] == "output_function":
        return ".".join(["head", _LAYERS[parts[1]], _NORM.get(parts[2], parts[2])])
    step, kind, block = int(parts[3]), parts[4], int(parts[5])
    prefix = f"chain.steps.{step * (blocks_per_step + 1) + 1 + block}"
    if kind == "embeddings":
        return f"{prefix}.mixing.vectors" if parts[6] == "weights" else None
    return ".".join([prefix, "net", _LAYERS[parts[7]], _NORM.get(parts[8], parts[8])])


def load(file: str):
    fixture = np.load(shared(f"parity/{file}.npz"))
    config = json.loads(bytes(fixture["config"]))
    model = IRIM(
        steps=config["steps"],
        hidden=config["hidden"],
        strides=config["strides"],
        channels=config["channels"],
        images=config["coils"],
        multiplicity=config["multiplicity"],
        ndim=config["ndim"],
        head="learned" if config["parametric_output"] else "eta",
        metadata=8,
    )
    tensors = {
        our_name(key.removeprefix("state/"), len(config["hidden"])): torch.from_numpy(fixture[key])
        for key in fixture.files
        if key.startswith("state/")
    }
    tensors.pop(None, None)
    shapes = model.state_dict()
    model.load_state_dict({name: tensor.reshape(shapes[name].shape) for name, tensor in tensors.items()})
    mask = torch.from_numpy(fixture["mask"])[..., 0]
    ndim = config["ndim"]
    operator: LinearOperator = (
        SamplingMask(mask) @ FourierTransform(ndim) if config["coils"] > 1 else CartesianMRI(mask, ndim=ndim)
    )
    images = torch.view_as_complex(torch.from_numpy(fixture["y"]))
    fidelity = LeastSquares(operator, mask * fft_centred(images, ndim))
    return fixture, model, fidelity, torch.from_numpy(fixture["metadata"])


@torch.no_grad()
def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


@pytest.mark.parametrize("file", ["irim_singlecoil", "irim_volume"])
def test_output_and_gradients(file):
    fixture, model, fidelity, metadata = load(file)
    out = model(fidelity, metadata=metadata)
    expected = torch.view_as_complex(torch.from_numpy(fixture["out"]))[:, 0]
    assert relative(out, expected) < RTOL
    torch.view_as_real(out).square().mean().backward()
    named = dict(model.named_parameters())
    blocks = len(model.options["hidden"])
    keys = [key for key in fixture.files if key.startswith("grad/")]
    assert len(keys) == len(named)
    for key in keys:
        grad = named[our_name(key.removeprefix("grad/"), blocks)].grad
        limit = RTOL_REFLECTIONS if "embeddings" in key else RTOL
        assert relative(grad, torch.from_numpy(fixture[key]).reshape(grad.shape)) < limit, key


@pytest.mark.parametrize("file", ["irim_singlecoil", "irim_multicoil_eta_output", "irim_volume"])
def test_final_state(file):
    fixture, model, fidelity, metadata = load(file)
    start = fidelity.start() if model.images > 1 else fidelity.start().unsqueeze(1)
    scale = torch.view_as_real(start).flatten(1).std(dim=1)
    normalised = start / scale.reshape(-1, *(1,) * (start.ndim - 1))
    state = model.chain(model.initial_state(normalised, metadata), Rescaled(fidelity, scale))
    assert relative(state, torch.from_numpy(fixture["final_state"])) < RTOL
