"""The examples run from their first draw to table, scores and picture, and their parts are what they say."""

import importlib
import json
import sys
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch

from shared_data import shared

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


def run(module, monkeypatch, tmp_path, **small):
    """Run an example's ``main`` for two updates, with small numbers in place of its own; return what it wrote."""
    for name, value in small.items():
        monkeypatch.setattr(module, name, value)
    folders = [f"--{name}={tmp_path / name}" for name in ("data", "results", "pictures")]
    monkeypatch.setattr(sys, "argv", [module.__name__, "--updates=2", *folders])
    module.main()
    assert (tmp_path / "pictures" / f"{module.__name__}.png").read_bytes().startswith(b"\x89PNG")
    return json.loads((tmp_path / "results" / f"{module.__name__}.json").read_text(encoding="utf-8"))


def scans(folder, size):
    """A volume and sinograms in the layouts of the data folder; what is in them does not matter."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    volume = rng.uniform(-1000, 1000, (size - 3, size - 4, 112)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / "abdomen_ct_3mm.nii.gz")
    with h5py.File(folder / "tooth_sino.h5", "w") as file:
        file["exchange/data"] = rng.uniform(500, 900, (181, 2, 640)).astype(np.float32)
        file["exchange/data_dark"] = np.full((10, 2, 640), 100, np.float32)
        file["exchange/data_white"] = np.full((10, 2, 640), 1100, np.float32)
        file["exchange/theta"] = np.arange(181) * 180 / 181


def test_deconvolution(example, monkeypatch, tmp_path, capsys):
    module = example("deconvolution")
    monkeypatch.setattr(example("photographs"), "TRAINING", ("page",))
    patch = example("photographs").photograph("coins")[:40, :37]
    monkeypatch.setattr(module, "photograph", lambda _: patch)
    found = run(module, monkeypatch, tmp_path, HELD_BACK=("coins",), PATCH=28, TV_ITERATIONS=3, TV_WEIGHTS=[1e-3])
    assert list(found["results"]["images"]["coins"]["coins"]) == ["blurred", "Wiener", "TV", "i-RIM"]
    assert found["results"]["mean"]["coins"]["Wiener"] > found["results"]["mean"]["coins"]["blurred"]
    assert f"{found['results']['mean']['coins']['i-RIM']:.2f}" in capsys.readouterr().out


def test_tomography_with_scans(example, monkeypatch, tmp_path):
    scans(tmp_path / "data" / "ct", 32)
    monkeypatch.setattr(example("photographs"), "TRAINING", ("page",))
    small = {"SIZE": 32, "VIEWS": 12, "HELD_BACK": ("coins",), "FILTERS": ("ramp", "hann")}
    found = run(example("tomography"), monkeypatch, tmp_path, **small)
    assert list(found["results"]["mean"]) == [
        "photographs", "Shepp-Logan phantom", "abdomen, projected again", "tooth, measured",
    ]  # fmt: skip
    assert len(found["results"]["images"]["abdomen, projected again"]) == 5


def test_tomography_without_scans(example, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(example("photographs"), "TRAINING", ("page",))
    small = {"SIZE": 32, "VIEWS": 12, "HELD_BACK": ("coins",), "FILTERS": ("ramp",)}
    found = run(example("tomography"), monkeypatch, tmp_path, **small)
    assert list(found["results"]["mean"]) == ["photographs", "Shepp-Logan phantom"]
    assert "without ct/tooth_sino.h5" in capsys.readouterr().out


def test_total_variation_lowers_its_objective_and_ends_there(example, monkeypatch):
    module = example("deconvolution")
    monkeypatch.setattr(module, "TV_ITERATIONS", 600)
    torch.set_default_dtype(torch.double)
    try:
        generator = torch.Generator().manual_seed(3)
        kernel = module.shakes(1, generator)
        data = torch.rand(1, 27, 26, generator=generator)
        operator = module.convolution(kernel, data.shape[1:])

        def objective(x):
            steps = torch.stack([x - x.roll(1, dims=axis) for axis in (0, 1)])
            return 0.5 * (operator(x[None]) - data).square().sum() + 0.05 * steps.norm(dim=0).sum()

        found = module.total_variation(data, kernel, 0.05)
        least = objective(found)
        for scale in (1e-1, 1e-2, 1e-3):
            for _ in range(5):
                assert objective(found + scale * torch.randn(found.shape, generator=generator)) > least
        assert least < objective(data[0])
        assert least < objective(torch.full_like(found, float(data.mean())))
    finally:
        torch.set_default_dtype(torch.float)


def test_nothing_held_back_is_learned_from(example):
    photographs = example("photographs")
    assert not set(photographs.TRAINING) & set(photographs.HELD_BACK)
    images = photographs.crops(3, 20, torch.Generator().manual_seed(0))
    assert images.shape == (3, 20, 20)
    assert 0 <= images.min() < images.max() <= 1


def test_kernels_are_a_camera_s(example):
    kernels = example("deconvolution").shakes(5, torch.Generator().manual_seed(0))
    assert (kernels >= 0).all()
    torch.testing.assert_close(kernels.sum(dim=(1, 2)), torch.ones(5))
    assert len({tuple(kernel.flatten().tolist()) for kernel in kernels}) == 5


def test_the_tooth_mirrors_itself_about_its_axis(example):
    """Views half a turn apart are each other's mirror image, about the bin where the operator has its axis."""
    module = example("tomography")
    integrals, angles = module.tooth(shared("ct/tooth_sino.h5"))
    assert integrals.shape == (len(angles), module.SIZE) == (181, 128)
    mirrored = integrals[-1].flip(0).roll(1)  # bin i to 2 (SIZE // 2) - i
    error = (integrals[0] - mirrored)[1:].abs().mean()
    assert error < 0.6 * min((integrals[0] - mirrored.roll(by))[1:].abs().mean() for by in (-1, 1))


def test_the_abdomen_lies_in_the_circle(example):
    module = example("tomography")
    images = module.abdomen(shared("ct/abdomen_ct_3mm.nii.gz"))
    assert images.shape == (5, module.SIZE, module.SIZE)
    assert (images * module.circle()).sum() > 0.9 * images.sum()


@pytest.mark.parametrize("name", ["deconvolution", "tomography"])
def test_an_instrument_takes_few_lines(name):
    assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 150
