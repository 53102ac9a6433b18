"""Learning: losses, schedules, and a run from recipe to weights."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from lightning.pytorch import Trainer

from invrim import load_model
from invrim.data.mask_density import gaussian_columns
from invrim.data.masks import seed_of
from invrim.errors import DriftError, FileError, OptionError
from invrim.invertible.drift import LOOK_EVERY
from invrim.metrics import ssim
from invrim.models import read_header
from invrim.training import Optimisation, Recipe, train
from invrim.training.build import build_model
from invrim.training.loaders import loaders
from invrim.training.losses import reconstruction_loss
from invrim.training.module import ReconstructionTask, learning_rate_factor
from invrim.training.muon import Muon
from invrim.training.run import fastest_precision
from training.written import last_checkpoint, recipes_in


def images(seed: int) -> torch.Tensor:
    return torch.rand(2, 12, 15, generator=torch.Generator().manual_seed(seed))


def test_losses():
    x, y, maximum = images(0), images(1), torch.tensor([1.0, 2.0])
    l1 = ((x - y).abs() / maximum.reshape(-1, 1, 1)).mean()
    similarity = ssim(x, y, maximum, padding="reflect").mean()
    assert torch.equal(reconstruction_loss("l1", x, y, maximum), l1)
    assert torch.equal(reconstruction_loss("ssim", x, y, maximum), -similarity)
    torch.testing.assert_close(reconstruction_loss("ssim+l1", x, y, maximum), l1 - similarity)
    assert reconstruction_loss("ssim", y, y, maximum) == pytest.approx(-1)
    with pytest.raises(OptionError, match="expected a loss of"):
        reconstruction_loss("l3", x, y, maximum)


def test_schedules():
    step = learning_rate_factor(Optimisation(updates=90, decay_every=30))
    assert [step(n) for n in (0, 29, 30, 60)] == pytest.approx([1, 1, 0.1, 0.01])
    cosine = learning_rate_factor(Optimisation(updates=110, warmup=10, schedule="cosine"))
    assert [cosine(n) for n in (0, 9, 10, 60, 110)] == pytest.approx([0.1, 1, 1, 0.5, 0])
    assert learning_rate_factor(Optimisation(updates=5, schedule="constant"))(4) == 1


@pytest.fixture
def recipe(tmp_path):
    return recipes_in(tmp_path)


# Lightning's own: it looks for a batch size in nested containers, and asks for loader processes.
LIGHTNING = [
    "ignore:.*isinstance.treespec, LeafSpec. is deprecated.*",
    "ignore:.*does not have many workers.*",
    "ignore:.*infer the `batch_size`.*",
    "ignore:.*lr_scheduler.step.*",
    "ignore:.*`LearningRateMonitor`.*",
]
pytestmark = [pytest.mark.filterwarnings(rule) for rule in LIGHTNING]


def weights_in(path) -> list[tuple[str, torch.Tensor]]:
    return list(load_model(path).state_dict().items())


def logged(folder, name: str) -> list[float]:
    with (folder / "logs" / "run-0" / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def validation(folder) -> list[float]:
    return logged(folder, "validation/ssim")


def test_a_run_learns_and_its_weights_stand_alone(recipe):
    weights = train(recipe(150))
    scores = validation(weights.parent)
    assert max(scores) > scores[0]
    header = read_header(weights)["recipe"]
    assert header["recipe"]["optimisation"]["updates"] == 150
    assert header["seed"] == 0
    assert header["data"] == {"training": {"a.h5": 3, "b.h5": 2}, "validation": {"c.h5": 3}}
    assert header["validation"]["ssim"] == pytest.approx(max(scores), abs=1e-5)
    assert 15 < header["validation"]["psnr"] < 60
    assert load_model(weights).options["hidden"] == [6, 8]
    assert list((weights.parent / "logs" / "run-0").glob("events*")), "a TensorBoard log"


def test_the_best_weights_are_kept_with_their_own_scores(recipe, monkeypatch):
    def ruin(task, *_):
        if task.global_step == 6:
            for parameter in task.parameters():
                parameter.data += 0.5

    monkeypatch.setattr(ReconstructionTask, "on_train_batch_end", ruin)
    weights = train(replace(recipe(6), validate_every=4))
    good, ruined = validation(weights.parent)  # the best is validated again, but not logged at the wrong update
    assert good > ruined + 0.01
    header = read_header(weights)["recipe"]
    assert header["validation"]["ssim"] == pytest.approx(good, abs=1e-5)
    assert header["updates"] == 4


def test_gradients_stay_where_they_were_before_the_first_update(recipe, monkeypatch):
    """Else they would be taken amid the backward pass, and keep apart the blocks that it frees."""
    places: list[list[int]] = []

    def note(task, *_):
        places.append([parameter.grad.data_ptr() for parameter in task.parameters()])

    monkeypatch.setattr(ReconstructionTask, "on_train_batch_start", note)
    monkeypatch.setattr(ReconstructionTask, "on_after_backward", note)
    train(recipe(3))
    assert len(places) == 6
    assert all(place == places[0] for place in places)


def test_a_run_goes_on_where_it_stopped(recipe):
    """Twenty updates, then forty: the second call makes only the twenty that are missing."""
    train(recipe(20))
    first = last_checkpoint(recipe(20).out)["global_step"]
    train(recipe(40))
    second = last_checkpoint(recipe(40).out)["global_step"]
    assert (first, second) == (20, 40)
    assert sorted(path.name for path in (recipe(40).out / "logs").iterdir()) == ["run-0", "run-1"]


def test_a_run_in_parts_sees_what_one_run_sees(recipe, monkeypatch):
    seen: list[tuple[list[str], list[int], float]] = []
    step = ReconstructionTask.training_step

    def noted(task, batch, index):
        seen.append((batch["name"], batch["slice"], float(batch["kspace"].abs().sum())))
        return step(task, batch, index)

    monkeypatch.setattr(ReconstructionTask, "training_step", noted)
    train(recipe(10, "one"))
    whole, seen = seen, []
    for updates in (4, 6, 10):  # inside an epoch of three batches, and at its end
        train(recipe(updates, "two"))
    assert seen == whole
    assert len({scale for _, _, scale in whole}) == 10, "every epoch has its own masks"


def test_weights_are_trained_further(recipe):
    """A run starts from another's weights, and goes on from its own checkpoint even if those are gone."""
    first = train(recipe(3, "first"))
    further = recipe(1, "further", seed=1, start_from=str(first))
    further = replace(further, optimisation=replace(further.optimisation, learning_rate=1e-9))
    for (name, start), end in zip(weights_in(first), weights_in(train(further)), strict=True):
        torch.testing.assert_close(start, end[1], rtol=0, atol=1e-6, msg=name)
    first.unlink()
    train(replace(further, optimisation=replace(further.optimisation, updates=2)))
    with pytest.raises(FileError, match="expected a weights file or one of"):
        train(recipe(1, "lost", start_from=str(first)))


def test_a_folder_with_another_recipes_run_is_refused(recipe):
    train(recipe(1))
    other = recipe(2, seed=3)
    with pytest.raises(OptionError, match=r"got another seed: 3 here, 0 there\. Choose another out, or delete it\."):
        train(other)
    deeper = recipe(2)
    with pytest.raises(OptionError, match=r"got another model\.hidden: \[6\] here, \[6, 8\] there\."):
        train(replace(deeper, model=replace(deeper.model, hidden=(6,), strides=(1,))))
    assert json.loads((other.out / "recipe.json").read_text())["seed"] == 0
    (other.out / "recipe.json").unlink()
    with pytest.raises(FileError, match=r"got no readable recipe.json\. Choose another out, or delete it\."):
        train(other)


def test_only_the_first_process_writes_weights(recipe, monkeypatch):
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    assert not train(recipe(1)).exists()


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "avx512_f": True}, "bf16-mixed"),
        ({"amx_bf16": False, "avx512_f": True}, "32-true"),
        ({}, "32-true"),
    ],
)
def test_bfloat16_only_where_the_processor_has_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert fastest_precision() == expected


def test_muon_is_chosen_by_the_recipe(recipe):
    optimisation = replace(recipe(5).optimisation, optimiser="muon")
    chosen = ReconstructionTask(build_model(recipe(5)), optimisation).configure_optimizers()["optimizer"]
    assert isinstance(chosen, Muon)
    assert chosen.param_groups[0]["initial_lr"] == 3e-3


def with_backprop(recipe: Recipe, backprop: str) -> Recipe:
    return replace(recipe, model=replace(recipe.model, backprop=backprop))


@pytest.mark.parametrize("backprop", ["store", "invert", "exact"])
def test_drift_is_logged_beside_the_loss(recipe, backprop):
    folder = train(with_backprop(recipe(20), backprop)).parent
    drift = logged(folder, "train/drift")
    if backprop == "store":
        assert drift == []
        return
    assert len(drift) == len(logged(folder, "train/loss")) == 2
    assert all(0 < value < 1e-5 for value in drift) if backprop == "invert" else drift == [0, 0]


def test_drift_above_its_limit_warns_once(recipe):
    with pytest.warns(RuntimeWarning, match=r"below 1e-12, got \d\S*e-0\d: .*backprop='exact'") as warned:
        train(recipe(2 * LOOK_EVERY + 1, drift_warn=1e-12))
    assert len([w for w in warned if "come back by inversion" in str(w.message)]) == 1


def test_drift_ends_the_run_if_asked(recipe):
    with pytest.raises(DriftError, match="below 1e-12, got"):
        train(recipe(2, drift_warn=None, drift_raise=1e-12))


def test_limits_of_drift_may_change_when_a_run_goes_on(recipe):
    train(recipe(1))
    with pytest.raises(DriftError):
        train(recipe(2, drift_warn=None, drift_raise=1e-12))


@pytest.mark.parametrize("limit", ["drift_warn", "drift_raise"])
def test_limits_of_drift_are_above_zero(recipe, limit):
    with pytest.raises(OptionError, match=rf"expected {limit} above 0, got 0\.0\. Raise it\."):
        recipe(1, **{limit: 0.0})


def test_a_recipe_names_the_kind_of_masks(recipe):
    made = recipe(1)
    made = replace(made, data=replace(made.data, masks="gaussian"))
    _, validation = loaders(made, build_model(made))
    expected = gaussian_columns(40, [2], [0.25], seed_of("c.h5"))
    assert torch.equal(validation.dataset[0]["mask"].flatten().bool(), expected)
    with pytest.raises(OptionError, match=r"expected a kind of mask, random, .*, poisson, got 'spiral'\. Choose one"):
        replace(made.data, masks="spiral")


def test_contradicting_recipe(recipe):
    bad = recipe(1)
    with pytest.raises(OptionError, match="expected one center_fraction per acceleration, got 1 for 2"):
        train(replace(bad, data=replace(bad.data, accelerations=(4, 8))))
