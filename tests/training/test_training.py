"""Learning: losses, schedules, and a run from recipe to weights."""

import csv
from dataclasses import replace

import h5py
import pytest
import torch

from invrim import load_model
from invrim.errors import OptionError, TrainingError
from invrim.metrics import ssim
from invrim.models import read_header
from invrim.training import Data, Model, Optimisation, Recipe, train
from invrim.training.losses import reconstruction_loss
from invrim.training.module import ReconstructionTask, learning_rate_factor
from invrim.training.muon import Muon
from invrim.training.run import build_model, fastest_precision
from scans import scan_file


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
    scan_file(tmp_path / "train", "a.h5")
    scan_file(tmp_path / "train", "b.h5", coils=3, slices=2)
    scan_file(tmp_path / "validation", "c.h5", seed=9)

    def make(updates: int, name: str = "run", **options) -> Recipe:
        return Recipe(
            data=Data(
                train=tmp_path / "train", validation=tmp_path / "validation", accelerations=(2,),
                center_fractions=(0.25,), batch_size=2, workers=0, readout_crop=32,
            ),
            model=Model(steps=2, hidden=(6, 8), strides=(1, 2), channels=8, head="eta", initial_gain=0.1),
            optimisation=Optimisation(
                updates=updates, learning_rate=3e-3, schedule="constant", loss="ssim+l1", clip=1.0
            ),
            out=tmp_path / name, validate_every=50, **options,
        )  # fmt: skip

    return make


# Lightning's own: it looks for a batch size in nested containers, and asks for loader processes.
LIGHTNING = [
    "ignore:.*isinstance.treespec, LeafSpec. is deprecated.*",
    "ignore:.*does not have many workers.*",
    "ignore:.*infer the `batch_size`.*",
    "ignore:.*lr_scheduler.step.*",
    "ignore:.*You're resuming from a checkpoint.*",
    "ignore:.*`LearningRateMonitor`.*",
]
pytestmark = [pytest.mark.filterwarnings(rule) for rule in LIGHTNING]


def validation(folder) -> list[float]:
    with (folder / "logs" / "run-0" / "metrics.csv").open() as file:
        return [float(row["validation/ssim"]) for row in csv.DictReader(file) if row.get("validation/ssim")]


def test_a_run_learns_and_its_weights_stand_alone(recipe):
    weights = train(recipe(150))
    scores = validation(weights.parent)
    assert max(scores) > scores[0]
    header = read_header(weights)["recipe"]
    assert header["recipe"]["optimisation"]["updates"] == 150
    assert header["validation"]["best_ssim"] == pytest.approx(max(scores), abs=1e-5)
    assert load_model(weights).options["hidden"] == [6, 8]
    assert list((weights.parent / "logs" / "run-0").glob("events*")), "a TensorBoard log"


def test_a_run_goes_on_where_it_stopped(recipe):
    """Twenty updates, then forty: the second call makes only the twenty that are missing."""
    train(recipe(20))
    first = torch.load(recipe(20).out / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    train(recipe(40))
    second = torch.load(recipe(40).out / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert (first, second) == (20, 40)
    assert sorted(path.name for path in (recipe(40).out / "logs").iterdir()) == ["run-0", "run-1"]


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


def test_a_loss_that_is_not_finite_ends_the_run(recipe):
    broken = recipe(5)
    with h5py.File(broken.data.train / "a.h5", "a") as file:
        file["reconstruction_esc"][:] = 3e38  # finite, but its square is not
    with pytest.raises(TrainingError, match=r"expected a finite loss, got (nan|inf) at update \d+, in \['a.h5'"):
        train(broken)


def test_contradicting_recipe(recipe):
    bad = recipe(1)
    with pytest.raises(OptionError, match="expected one center_fraction per acceleration, got 1 for 2"):
        train(replace(bad, data=replace(bad.data, accelerations=(4, 8))))
