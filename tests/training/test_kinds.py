"""Every kind of model: a few updates, weights that stand alone, the same images from them."""

import json
from dataclasses import replace

import pytest
import torch

from invrim import CartesianMRI, LeastSquares, load_model
from invrim.errors import OptionError
from invrim.models import MODELS
from invrim.reconstruction import Job, reconstruct_slices
from invrim.training import (
    KINDS,
    Data,
    IRIMOptions,
    Optimisation,
    Recipe,
    RIMOptions,
    UNetOptions,
    VarNetOptions,
    train,
)
from invrim.training.build import build_model
from invrim.training.losses import reconstruction_loss
from invrim.training.module import ReconstructionTask
from scans import scan_file
from training.test_training import LIGHTNING
from training.written import last_checkpoint

pytestmark = [pytest.mark.filterwarnings(rule) for rule in LIGHTNING]

OPTIONS = {
    "irim": IRIMOptions(steps=2, hidden=(4,), strides=(2,), channels=8, initial_gain=0.1),
    "rim": RIMOptions(steps=2, hidden=4),
    "unet": UNetOptions(channels=2, pools=2),
    "varnet": VarNetOptions(cascades=2, channels=2, pools=2, map_channels=2, map_pools=2),
}


@pytest.fixture(params=OPTIONS)
def recipe(request, tmp_path):
    scan_file(tmp_path / "train", "a.h5", coils=3, slices=4)
    scan_file(tmp_path / "validation", "c.h5", coils=2, slices=2, seed=9)
    return Recipe(
        data=Data(
            train=tmp_path / "train", validation=tmp_path / "validation", accelerations=(2,), center_fractions=(0.25,),
            batch_size=2, workers=0, readout_crop=32,
        ),
        model=OPTIONS[request.param],
        optimisation=Optimisation(
            updates=3, learning_rate=1e-3, schedule="constant", loss="ssim+l1",
            every_step=request.param == "rim"
        ),
        out=tmp_path / "run", devices=1,
    )  # fmt: skip


def test_it_trains_and_its_weights_reconstruct_the_same(recipe):
    loaded = load_model(train(recipe))
    assert type(loaded).__name__.lower() == recipe.model.kind
    trained = build_model(recipe).eval()
    start = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    checkpoint = last_checkpoint(recipe.out)
    assert checkpoint["global_step"] == 3
    trained.load_state_dict({name.removeprefix("model."): t for name, t in checkpoint["state_dict"].items()})
    assert any(not torch.equal(tensor, start[name]) for name, tensor in trained.state_dict().items())
    assert loaded.options == trained.options
    path, job = recipe.data.validation / "c.h5", Job(out=recipe.out, acceleration=2)
    images, _ = reconstruct_slices(loaded, path, job)
    assert torch.equal(images, reconstruct_slices(trained, path, job)[0])
    assert images.any()


def test_a_run_goes_on(recipe):
    train(recipe)
    train(replace(recipe, optimisation=replace(recipe.optimisation, updates=4)))
    assert last_checkpoint(recipe.out)["global_step"] == 4


@pytest.mark.parametrize("recipe", ["irim"], indirect=True)
def test_the_weights_are_the_running_average_if_asked(recipe):
    averaged = replace(recipe, optimisation=replace(recipe.optimisation, ema_decay=0.5))
    train(averaged)
    weights = load_model(train(replace(averaged, optimisation=replace(averaged.optimisation, updates=4)))).state_dict()
    checkpoint = last_checkpoint(recipe.out)
    average, last = (
        {name.removeprefix("model."): tensor for name, tensor in checkpoint[key].items()}
        for key in ("state_dict", "current_model_state")
    )
    for name, tensor in weights.items():
        assert torch.equal(tensor, average[name])
    assert any(not torch.equal(average[name], last[name]) for name in weights)
    with pytest.raises(OptionError, match="expected ema_decay between 0 and 1"):
        replace(recipe.optimisation, ema_decay=1.0)


def test_every_kind_has_options_and_a_model():
    assert list(KINDS) == list(OPTIONS) == [name.lower() for name in MODELS]
    for kind, options in OPTIONS.items():
        assert type(options) is KINDS[kind]
        assert options.kind == kind


@pytest.mark.parametrize("recipe", ["irim"], indirect=True)
def test_runs_from_before_there_were_kinds_go_on(recipe):
    """Their recipe says neither which kind nor on which steps."""
    train(recipe)
    path = recipe.out / "recipe.json"
    old = json.loads(path.read_text())
    del old["model"]["kind"], old["optimisation"]["every_step"]
    path.write_text(json.dumps(old))
    train(replace(recipe, optimisation=replace(recipe.optimisation, updates=4)))
    path.write_text(json.dumps(old))
    with pytest.raises(OptionError, match="got another model"):
        train(replace(recipe, model=OPTIONS["unet"]))


@pytest.mark.parametrize("recipe", ["irim", "rim"], indirect=True)
def test_the_loss_is_the_mean_over_all_steps_if_asked(recipe):
    generator = torch.Generator().manual_seed(1)
    batch = {
        "kspace": torch.randn(2, 3, 16, 12, dtype=torch.cfloat, generator=generator),
        "mask": (torch.arange(12) % 2).float().expand(2, 1, 1, 12),
        "maps": torch.randn(2, 3, 16, 12, dtype=torch.cfloat, generator=generator),
        "target": torch.rand(2, 14, 10, generator=generator),
        "maximum": torch.tensor([1.0, 2.0]),
        "metadata": torch.zeros(2, 8),
        "name": ["a.h5", "b.h5"],
    }
    model = build_model(recipe)
    last, mean = (
        ReconstructionTask(model, replace(recipe.optimisation, every_step=every)).loss(batch) for every in (False, True)
    )
    fidelity = LeastSquares(CartesianMRI(batch["mask"], batch["maps"]), batch["kspace"])
    losses = [
        reconstruction_loss(
            "ssim+l1", model.magnitude(fidelity, images)[:, 1:-1, 1:-1], batch["target"], batch["maximum"]
        )
        for images in model(fidelity, every_step=True)
    ]
    assert len(losses) == 2
    torch.testing.assert_close(mean, torch.stack(losses).mean())
    torch.testing.assert_close(last, losses[-1])
    assert last != mean


@pytest.mark.parametrize("recipe", ["unet"], indirect=True)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"every_step": True}, "expected model.kind irim or rim for a loss on every step, got unet"),
        ({"optimiser": "muon"}, "expected model.kind irim for Muon, .*got unet"),
    ],
)
def test_what_a_kind_cannot_do_is_refused(recipe, change, message):
    with pytest.raises(OptionError, match=message):
        replace(recipe, optimisation=replace(recipe.optimisation, **change))
