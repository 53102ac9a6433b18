"""Training as published: recipes of presets, without coil maps, told contrast and scanner, counted in epochs."""

import json
from dataclasses import fields, replace
from pathlib import Path

import h5py
import pytest
import torch

from data.test_protocol import SYSTEM
from invrim import IRIM, load_model
from invrim.cli.train import read_recipe
from invrim.errors import DataError, OptionError
from invrim.models import read_header
from invrim.models.presets import PRESETS
from invrim.reconstruction import Job, reconstruct_slices
from invrim.training import Data, IRIMOptions, Optimisation, PresetOptions, Recipe, RIMOptions, train
from invrim.training.build import build_model
from invrim.training.module import ReconstructionTask
from invrim.training.resume import find_checkpoint, write_recipe
from invrim.training.run import _processes
from scans import scan_file
from training.test_training import LIGHTNING
from training.written import empty_checkpoint, last_checkpoint

pytestmark = [pytest.mark.filterwarnings(rule) for rule in LIGHTNING]

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
PUBLISHED = {"fastmri-singlecoil-2019": 8, "fastmri-multicoil-2019": 32}
"""Recipe and its batch."""
SMALL = {"steps": 1, "hidden": [3, 4], "strides": [2, 1], "metadata": 8, "coil_maps": False}


@pytest.mark.parametrize("name", PRESETS)
def test_a_recipe_trains_its_preset_and_nothing_else(name):
    recipe = read_recipe(["--config", str(RECIPES / f"{name}.yaml")])
    assert recipe.model == PresetOptions(preset=name)
    with torch.device("meta"):
        assert build_model(recipe).options == IRIM.from_preset(name).options


@pytest.mark.parametrize(("name", "batch"), list(PUBLISHED.items()))
def test_recipes_are_as_published(name, batch):
    recipe = read_recipe(["--config", str(RECIPES / f"{name}.yaml")])
    data, optimisation = recipe.data, recipe.optimisation
    assert (data.accelerations, data.center_fractions) == ((4, 8), (0.08, 0.04))
    assert (data.image_crop, data.target_crop, data.readout_crop, data.flip) == (368, 320, None, False)
    assert (data.batch_size, recipe.validate_every, recipe.precision) == (batch, None, "32-true")
    assert optimisation == Optimisation(
        epochs=50, optimiser="adam", learning_rate=1e-4, schedule="step", decay_every=30, loss="ssim"
    )


def told(path: Path, acquisition: str, scanner: str) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["acquisition"] = acquisition
        file["ismrmrd_header"] = SYSTEM.format(scanner)


@pytest.fixture(params=["fastmri-singlecoil-2019", "fastmri-multicoil-2019"])
def recipe(request, tmp_path, monkeypatch):
    """A recipe that ships, on small scans with a small network in the place of its own."""
    coils = 1 if "single" in request.param else 3
    small = {**PRESETS[request.param], **SMALL, "channels": 20, "multiplicity": 1, "images": coils}
    monkeypatch.setitem(PRESETS, request.param, small)
    told(scan_file(tmp_path / "train", "a.h5", coils=coils, slices=5), "CORPD_FBK", "Aera")
    told(scan_file(tmp_path / "train", "b.h5", coils=coils, slices=4, seed=4), "CORPDFS_FBK", "Vida")
    told(scan_file(tmp_path / "validation", "c.h5", coils=coils, slices=2, seed=9), "CORPD_FBK", "Skyra")
    recipe = read_recipe(["--config", str(RECIPES / f"{request.param}.yaml")])
    data = replace(
        recipe.data, train=tmp_path / "train", validation=tmp_path / "validation", image_crop=36, target_crop=32,
        batch_size=4, workers=0, accelerations=(2, 4), center_fractions=(0.2, 0.1),
    )  # fmt: skip
    return replace(
        recipe, data=data, out=tmp_path / "run", devices=1, optimisation=replace(recipe.optimisation, epochs=2)
    )


def test_a_recipe_trains_in_epochs_and_its_weights_reconstruct(recipe, monkeypatch):
    seen, shapes = [], set()
    initial = IRIM.initial_state

    def noted(model, estimate, metadata=None):
        seen.extend(metadata.tolist())
        shapes.add(tuple(estimate.shape[1:]))
        return initial(model, estimate, metadata)

    monkeypatch.setattr(IRIM, "initial_state", noted)
    weights = train(recipe)
    header = read_header(weights)
    assert last_checkpoint(recipe.out)["global_step"] == 2 * 3
    assert header["recipe"]["recipe"]["model"]["preset"] == recipe.model.preset
    codes = {tuple(code) for code in seen}
    assert codes == {(0, 1, *6 * (0,)), (0.25, 0) * 4, (*7 * (0,), 1)}
    model = load_model(weights)
    assert shapes == {(model.images, 36, 36), (model.images, 48, 40)}, "cropped in training, whole in validation"
    seen.clear()
    images, _ = reconstruct_slices(model, recipe.data.validation / "c.h5", Job(out=recipe.out, acceleration=2))
    assert images.shape == (2, 48, 40)
    assert images.any()
    assert seen == 2 * [[*7 * [0], 1]]


@pytest.mark.parametrize("recipe", ["fastmri-multicoil-2019"], indirect=True)
def test_files_of_other_coils_are_refused_before_training(recipe):
    scan_file(recipe.data.train, "z.h5", coils=2)
    with pytest.raises(DataError, match=r"z\.h5: expected 3 coils, for which a model without coil maps is made, got 2"):
        train(recipe)


@pytest.mark.parametrize("recipe", ["fastmri-multicoil-2019"], indirect=True)
def test_the_recipe_of_volumes_trains_on_slabs_and_only_on_them(recipe, monkeypatch):
    monkeypatch.setitem(PRESETS, "volume-400", {**PRESETS["volume-400"], "steps": 1, "hidden": [4], "strides": [2]})
    shipped = read_recipe(["--config", str(RECIPES / "volume-400.yaml")])
    data = replace(
        shipped.data, train=recipe.data.train, validation=recipe.data.validation, slab=2, workers=0,
        accelerations=(2,), center_fractions=(0.2,),
    )  # fmt: skip
    volumes = replace(
        shipped, data=data, out=recipe.out, devices=1, optimisation=replace(shipped.optimisation, epochs=1)
    )
    model = load_model(train(volumes))
    images, _ = reconstruct_slices(model, data.validation / "c.h5", Job(out=recipe.out, acceleration=2))
    assert images.shape == (2, 48, 40)
    assert images.any()
    with pytest.raises(OptionError, match="only there, got a model in 3D and a slab of none"):
        train(replace(volumes, data=replace(data, slab=None), out=recipe.out / "other"))
    with pytest.raises(OptionError, match="got a model in 2D and a slab of 2 slices"):
        train(replace(recipe, data=replace(recipe.data, slab=2), out=recipe.out / "other"))


@pytest.mark.parametrize("recipe", ["fastmri-multicoil-2019"], indirect=True)
def test_volumes_may_be_told_and_see_every_coil_by_itself(recipe):
    model = IRIMOptions(steps=1, hidden=(4,), strides=(2,), channels=20, ndim=3, images=3, metadata=8, head="eta")
    weights = train(replace(recipe, model=model, data=replace(recipe.data, slab=2)))
    images, _ = reconstruct_slices(
        load_model(weights), recipe.data.validation / "c.h5", Job(out=recipe.out, acceleration=2)
    )
    assert images.shape == (2, 48, 40)


def test_without_maps_a_single_coil_keeps_its_phase(tmp_path):
    """Nothing is estimated: with maps the image would be nearly real."""
    raw = scan_file(tmp_path, coils=1, acceleration=2)
    for coil_maps in (False, True):
        model = IRIM(steps=1, hidden=[4], strides=[1], channels=4, head="eta", coil_maps=coil_maps)
        model.scale_blocks(0)
        starts = []
        model.chain.register_forward_pre_hook(lambda _, inputs, starts=starts: starts.append(inputs[0][:, :2]))
        reconstruct_slices(model, raw, Job(out=tmp_path))
        imaginary = float(starts[0][:, 1].norm() / starts[0].norm())
        assert (imaginary < 0.25) is coil_maps


def test_an_explicit_irim_may_see_what_the_published_one_sees():
    options = IRIMOptions(steps=1, hidden=(4,), strides=(1,), channels=16, images=2, metadata=8, head="combined")
    model = build_model(Recipe(data=DATA, model=options, optimisation=Optimisation(updates=1), out=Path("run")))
    assert (model.images, model.metadata, model.coil_maps) == (2, 8, False)
    rim = replace(Recipe(data=DATA, model=options, optimisation=Optimisation(updates=1), out=Path("run")),
                  model=RIMOptions(coil_maps=False))  # fmt: skip
    assert not build_model(rim).coil_maps


DATA = Data(train=Path("train"), validation=Path("validation"))


def test_length_in_epochs_becomes_updates():
    optimisation = Optimisation(epochs=50, decay_every=30, schedule="step").in_updates(7)
    assert (optimisation.updates, optimisation.epochs, optimisation.decay_every) == (350, None, 210)
    assert Optimisation(epochs=3).in_updates(7).decay_every is None
    alone = Optimisation(updates=5, decay_every=2)
    assert alone.in_updates(7) == alone
    for both in ({}, {"updates": 2, "epochs": 3}):
        with pytest.raises(OptionError, match="expected updates or epochs, one of the two, got"):
            Optimisation(**both)


def test_processes_share_an_epoch(monkeypatch):
    recipe = Recipe(data=DATA, model=RIMOptions(), optimisation=Optimisation(epochs=1), out=Path("run"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert [_processes(replace(recipe, **d)) for d in ({}, {"devices": 2}, {"devices": 2, "nodes": 3})] == [1, 2, 6]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert _processes(replace(recipe, nodes=2)) == 8


def test_crops_that_contradict_each_other():
    with pytest.raises(OptionError, match="expected one of readout_crop and image_crop, got 64 and 368"):
        replace(DATA, readout_crop=64, image_crop=368)


RESUMED = {
    "preset": PresetOptions(preset="volume-400"),
    "irim": IRIMOptions(steps=1, hidden=(4,), strides=(2,), channels=8),
    "rim": RIMOptions(),
}


@pytest.mark.parametrize("kind", RESUMED)
def test_fields_that_an_older_version_did_not_know_are_no_difference(tmp_path, kind):
    """Whatever has a default may be missing, in the recipe and in each of its groups; nothing else may."""
    optimisation = Optimisation(updates=5)
    recipe = Recipe(data=DATA, model=RESUMED[kind], optimisation=optimisation, out=tmp_path)
    last = empty_checkpoint(tmp_path)
    path = write_recipe(recipe)
    written = json.loads(path.read_text())
    for group in (recipe, recipe.data, recipe.model, recipe.optimisation):
        name = next((f.name for f in fields(recipe) if getattr(recipe, f.name) is group), None)
        for field in fields(group):
            old = json.loads(json.dumps(written))
            place = old if name is None else old[name]
            value = place.pop(field.name)
            path.write_text(json.dumps(old))
            required = field.default is field.default_factory and not isinstance(value, dict)
            if required and field.name != "out":
                with pytest.raises(OptionError, match=f"another {'' if name is None else name + '.'}{field.name}"):
                    find_checkpoint(recipe)
            elif not isinstance(value, dict) or field.name == "provenance":
                assert find_checkpoint(recipe) == last
    path.write_text(json.dumps(written))
    old = json.loads(path.read_text())
    del old["precision"]
    path.write_text(json.dumps(old))
    with pytest.raises(OptionError, match='another precision: "bf16-mixed" here, "32-true" there'):
        find_checkpoint(replace(recipe, precision="bf16-mixed"))


def test_the_task_hands_metadata_only_to_models_that_read_them():
    generator = torch.Generator().manual_seed(1)
    batch = {
        "kspace": torch.randn(2, 1, 16, 12, dtype=torch.cfloat, generator=generator),
        "mask": torch.ones(2, 1, 1, 12),
        "metadata": torch.eye(8)[:2],
        "target": torch.rand(2, 14, 10, generator=generator),
        "maximum": torch.tensor([1.0, 2.0]),
        "name": ["a.h5", "b.h5"],
    }
    torch.manual_seed(0)
    told = IRIM(steps=1, hidden=[4], strides=[1], channels=16, metadata=8, coil_maps=False)
    task = ReconstructionTask(told, Optimisation(updates=1))
    other = task({**batch, "metadata": batch["metadata"].flip(0)})
    assert not torch.equal(task(batch), other)
    plain = ReconstructionTask(IRIM(steps=1, hidden=[4], strides=[1], channels=16), Optimisation(updates=1))
    assert torch.equal(plain(batch), plain({**batch, "metadata": batch["metadata"].flip(0)}))
