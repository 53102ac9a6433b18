"""Learning in 3D: from a recipe with slabs to weights that reconstruct whole files."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
import yaml

from invrim.cli.main import main
from invrim.data.batches import collate
from invrim.data.formats.fastmri import read_acquisition, write_acquisition
from invrim.data.simulation import SliceChoice, simulate_volume
from invrim.data.slabs import SlabDataset
from invrim.errors import OptionError
from invrim.metrics import slice_similarity, ssim
from invrim.models import read_header
from invrim.operators import slab_fidelity
from invrim.reconstruction import Job, fidelity_of, reconstruct_slices
from invrim.training import Data, IRIMOptions, Optimisation, Recipe, UNetOptions
from invrim.training.build import build_model
from invrim.training.losses import reconstruction_loss
from invrim.training.module import ReconstructionTask
from scans import phantom
from training.test_training import LIGHTNING

pytestmark = [pytest.mark.filterwarnings(rule) for rule in LIGHTNING]


def put(folder, name, *, slices=9, coils=1, acceleration=1, seed=0, phase_encodes=1):
    folder.mkdir(parents=True, exist_ok=True)
    scan = simulate_volume(
        phantom(slices, (24, 20)), name, coils=coils, acceleration=acceleration, snr=40, seed=seed,
        choice=SliceChoice(min_signal=0), phase_encodes=phase_encodes,
    )  # fmt: skip
    write_acquisition(folder / name, scan)
    return folder / name


MODEL = {
    "steps": 2, "hidden": [4, 6], "strides": [1, 2], "channels": 8, "ndim": 3, "initial_gain": 0.1, "tile": [4, 8, 8],
}  # fmt: skip


def written(tmp_path, loss="ssim3d+l1"):
    recipe = {
        "data": {
            "train": str(tmp_path / "train"), "validation": str(tmp_path / "validation"), "accelerations": [2],
            "center_fractions": [0.25], "batch_size": 2, "workers": 0, "slab": 13,
        },
        "model": MODEL,
        "optimisation": {"updates": 3, "learning_rate": 3e-3, "schedule": "constant", "loss": loss},
        "out": str(tmp_path / "run"), "validate_every": 2,
    }  # fmt: skip
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.mark.parametrize("phase_encodes", [1, 2])
def test_train_reconstruct_and_evaluate_in_3d_by_the_command_line(tmp_path, phase_encodes, capsys):
    put(tmp_path / "train", "a.h5", phase_encodes=phase_encodes)
    put(tmp_path / "train", "b.h5", coils=2, seed=1, phase_encodes=phase_encodes)
    put(tmp_path / "validation", "c.h5", slices=16, seed=2, phase_encodes=phase_encodes)
    raw = put(tmp_path / "raw", "d.h5", slices=10, acceleration=2, seed=3, phase_encodes=phase_encodes)
    assert main(["train", "--config", str(written(tmp_path))]) == 0
    weights = tmp_path / "run" / "weights.safetensors"
    header = read_header(weights)
    assert header["options"]["ndim"] == 3
    assert header["recipe"]["data"] == {"training": {"a.h5": 9, "b.h5": 9}, "validation": {"c.h5": 16}}
    log = next((tmp_path / "run" / "logs").rglob("metrics.csv")).read_text()
    assert "validation/ssim3d" in log
    assert "train/drift" in log
    out = tmp_path / "out"
    assert main(["reconstruct", str(raw), "--weights", str(weights), "--out", str(out), "--batch", "7"]) == 0
    with h5py.File(out / "d.h5") as file:
        assert file["reconstruction"].shape == (10, 24, 20)
    options = ["--targets", str(tmp_path / "raw"), "--predictions", str(out), "--json", str(tmp_path / "scores.json")]
    assert main(["evaluate", *options, "--protocol", "volume"]) == 0
    assert 0 < json.loads((tmp_path / "scores.json").read_text())["mean"]["ssim"] < 1
    capsys.readouterr()


def small_task(loss="ssim"):
    torch.manual_seed(0)
    options = {**MODEL, "hidden": (4, 6), "strides": (1, 2), "tile": None, "head": "eta"}
    recipe = recipe_of(model=IRIMOptions(**options), loss=loss)
    return ReconstructionTask(build_model(recipe), recipe.optimisation)


def recipe_of(*, model, slab=7, loss="ssim"):
    data = Data(train="train", validation="validation", slab=slab)
    return Recipe(data=data, model=model, optimisation=Optimisation(updates=1, loss=loss), out="out")


def test_the_slices_of_a_slab_see_each_other(tmp_path):
    put(tmp_path, "a.h5")
    data = SlabDataset(tmp_path, slab=7, training=False, accelerations=[2], center_fractions=[0.25])
    task = small_task()
    batch = collate([data[0]])
    before = task(batch)
    assert before.shape == batch["target"].shape == (1, 4, 24, 20)
    batch["kspace"][:, :, 0] *= -3
    changed = (task(batch) - before).abs().amax(dim=(0, 2, 3))
    assert (changed[:3] > 1e-6).all(), "a block sees one slice to either side"


def test_a_whole_volume_is_reconstructed_slab_by_slab_or_at_once(tmp_path):
    raw = put(tmp_path, "a.h5", acceleration=2, coils=2)
    model = small_task().model
    scan = read_acquisition(raw)
    with torch.no_grad():
        for batch, parts in {None: [(0, 9)], 9: [(0, 9)], 5: [(0, 4), (4, 9)]}.items():
            volume, maximum = reconstruct_slices(model, raw, Job(out=tmp_path, batch=batch))
            fidelities = [fidelity_of(replace(scan, kspace=scan.kspace[a:b]), slab=True) for a, b in parts]
            expected = [model.magnitude(fidelity, model(fidelity))[0] for fidelity in fidelities]
            torch.testing.assert_close(volume, torch.cat(expected))
            assert maximum == volume.max()


def test_coils_side_by_side_in_3d(tmp_path):
    raw = put(tmp_path, "a.h5", acceleration=2, coils=2)
    torch.manual_seed(0)
    from invrim import IRIM

    model = IRIM(steps=1, hidden=[4], strides=[1], channels=8, images=2, ndim=3, head="eta")
    scan = read_acquisition(raw)
    volume, _ = reconstruct_slices(model, raw, Job(out=tmp_path))
    with torch.no_grad():
        images = model(fidelity_of(scan, slab=True, coil_maps=False))
    torch.testing.assert_close(volume, images[0].abs().square().sum(0).sqrt())


def test_losses_of_slabs():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.rand(2, 8, 9, 11, generator=generator) for _ in range(2))
    maximum = torch.tensor([1.0, 2.0])
    l1 = ((x - y).abs() / maximum.reshape(-1, 1, 1, 1)).mean()
    torch.testing.assert_close(reconstruction_loss("l1", x, y, maximum), l1)
    sliced = slice_similarity(x, y, maximum, padding="reflect").mean()
    torch.testing.assert_close(reconstruction_loss("ssim+l1", x, y, maximum), l1 - sliced)
    cubes = ssim(x, y, maximum, padding="reflect").mean()
    torch.testing.assert_close(reconstruction_loss("ssim3d", x, y, maximum), -cubes)
    torch.testing.assert_close(reconstruction_loss("ssim3d+l1", x, y, maximum), l1 - cubes)
    assert abs(cubes - sliced) > 1e-3


def test_slabs_and_models_in_3d_belong_together():
    flat = IRIMOptions(steps=1, hidden=(4,), strides=(1,), channels=8)
    deep = replace(flat, ndim=3)
    recipe_of(model=deep)
    for model, slab in ((flat, 7), (deep, None), (UNetOptions(), 7)):
        with pytest.raises(OptionError, match=r"expected data\.slab where the model is in 3D, and only there"):
            recipe_of(model=model, slab=slab)
    with pytest.raises(OptionError, match="at least 13 slices for the loss ssim3d, got 12"):
        recipe_of(model=deep, slab=12, loss="ssim3d")
    with pytest.raises(OptionError, match="slab above 0"):
        recipe_of(model=deep, slab=0)


def test_simulate_writes_volumes_of_two_phase_encodings(tmp_path, capsys):
    import nibabel

    image = nibabel.Nifti1Image(np.moveaxis(phantom(6, (24, 20)), 0, 2).astype(np.float32), np.eye(4))
    nibabel.save(image, tmp_path / "head.nii.gz")
    options = ["--out", str(tmp_path / "raw"), "--phase-encodes", "2", "--coils", "2"]
    assert main(["simulate", str(tmp_path / "head.nii.gz"), *options]) == 0
    raw = tmp_path / "raw" / "head_axial.h5"
    with h5py.File(raw) as file:
        assert file["mask"].shape == file["kspace"].shape[-2:]
    assert main(["inspect", str(raw), "--picture", str(tmp_path / "a.png")]) == 0
    shown = capsys.readouterr().out
    assert "(two phase encodings)" in shown
    assert "of 480 points" in shown


def test_every_step_of_a_slab_can_be_scored(tmp_path):
    put(tmp_path, "a.h5")
    batch = collate([SlabDataset(tmp_path, slab=7, training=False, accelerations=[2], center_fractions=[0.25])[0]])
    task = small_task()
    task.optimisation = replace(task.optimisation, every_step=True)
    physics = slab_fidelity(batch["kspace"], batch["mask"], batch["maps"])
    losses = [
        reconstruction_loss("ssim", images.abs(), batch["target"], batch["maximum"])
        for images in task.model(physics, every_step=True)
    ]
    assert len(losses) == 2
    assert losses[0] != losses[1]
    torch.testing.assert_close(task.loss(batch), sum(losses) / 2)
