"""A rehearsal is a training run in small, and says what it holds."""

from pathlib import Path

import pytest
import torch

from invrim.errors import OptionError
from invrim.training import Data, IRIMOptions, Optimisation, PresetOptions, Recipe
from invrim.training.build import build_model
from invrim.training.rehearsal import Scan, rehearse, require_recipe, smallest_of
from invrim.training.variations import variations

SIZES = {"steps": 2, "hidden": (6, 4), "strides": (2, 1), "channels": 8}
FEW = 400  # bytes: masks, codes and largest intensities of two items


def recipe(model: dict | None = None, data: dict | None = None, **optimisation) -> Recipe:
    folders = {"train": Path("no"), "validation": Path("no")}
    return Recipe(
        data=Data(**folders, **{"batch_size": 2, **(data or {})}),
        model=IRIMOptions(**{**SIZES, **(model or {})}),
        optimisation=Optimisation(updates=7, **optimisation),
        out=Path("no"),
    )


def parameter_bytes(plan: Recipe) -> int:
    return sum(4 * p.numel() for p in build_model(plan).parameters())


@pytest.mark.parametrize(("optimiser", "moments"), [("adam", (2, 2.1)), ("muon", (1, 1.8))])
def test_it_holds_what_an_update_leaves(optimiser, moments):
    plan, scan, stages = recipe(optimiser=optimiser, ema_decay=0.9), Scan(matrix=(21, 18), coils=3), []
    held = rehearse(plan, scan, stages.append)
    assert stages == ["update", "update", "validation", "end"]
    parameters = parameter_bytes(plan)
    assert held["parameters"] == held["gradients"] == held["average"] == parameters
    assert moments[0] * parameters <= held["optimiser"] <= moments[1] * parameters
    data = 2 * 21 * 18 * (2 * 3 * 8 + 4)  # k-space and maps, complex, and the target
    assert data < held["data"] < data + FEW


def test_crops_and_slabs_shape_the_batch():
    scan = Scan(matrix=(40, 30), coils=2, target=(24, 22))
    assert scan.training_shapes(recipe(data={"readout_crop": 16, "target_crop": 20}).data) == ((16, 30), (16, 20))
    assert scan.training_shapes(recipe(data={"image_crop": 18}).data) == ((18, 18), (18, 18))
    assert scan.validation_shapes(recipe(data={"readout_crop": 16}).data) == ((40, 30), (24, 22))
    volume = recipe(model={"ndim": 3}, data={"slab": 5, "readout_crop": 9})
    held = rehearse(volume, Scan(matrix=(13, 11), coils=2))
    data = 2 * 5 * 9 * 11 * (2 * 2 * 8 + 4)
    assert data < held["data"] < data + FEW


def test_the_smallest_run_is_small_and_like_it():
    big = recipe(model={"ndim": 3, "steps": 9}, data={"slab": 20}, optimiser="muon")
    small, scan = smallest_of(big)
    assert (small.model.ndim, small.optimisation.optimiser) == (3, "muon")
    assert parameter_bytes(small) < 200_000
    assert rehearse(small, scan)["data"] < 1_000_000


def test_what_contradicts_itself_is_refused_before_anything_is_allocated():
    require_recipe(recipe(), Scan(matrix=(9, 9)))
    with pytest.raises(OptionError, match=r"expected 3 coils.*got 1\. Set --coils 3"):
        require_recipe(recipe(model={"images": 3, "channels": 12, "coil_maps": False}), Scan(matrix=(9, 9)))
    volume = Recipe(
        data=Data(train=Path("no"), validation=Path("no")),
        model=PresetOptions(preset="volume-400"),
        optimisation=Optimisation(updates=1),
        out=Path("no"),
    )
    with pytest.raises(OptionError, match=r"Set data\.slab to e\.g\. 32"):
        require_recipe(volume, Scan(matrix=(9, 9)))


def test_variations_are_recipes_of_their_size():
    plan = recipe(model={"ndim": 3, "channels": 16}, data={"slab": 14}, loss="ssim3d")
    by_name = {variation.name: variation for variation in variations(plan)}
    assert list(by_name) == ["widest", "deepest", "largest batch", "largest slab"]
    wide = by_name["widest"].of(plan, 4)
    assert (wide.model.channels, wide.model.hidden) == (32, (12, 8))
    assert by_name["widest"].of(plan, by_name["widest"].now) == plan
    assert by_name["deepest"].of(plan, 5).model.steps == 5
    assert by_name["largest batch"].fields(3) == {"data": {"batch_size": 3}}
    assert by_name["largest slab"].smallest == 13
    many = recipe(model={"images": 5, "channels": 24, "coil_maps": False})
    assert variations(many)[0].smallest == 3
    for variation in variations(many):
        require_recipe(variation.of(many, variation.smallest), Scan(matrix=(9, 9), coils=5))


def test_a_preset_varies_in_what_it_leaves_open():
    plan = Recipe(
        data=Data(train=Path("no"), validation=Path("no"), slab=8),
        model=PresetOptions(preset="volume-400"),
        optimisation=Optimisation(updates=1),
        out=Path("no"),
    )
    assert [variation.name for variation in variations(plan)] == ["largest batch", "largest slab"]
    assert torch.get_default_device().type == "cpu"
