"""The pieces of the demo that are its own, and the story from end to end on a small volume."""

import re

import nibabel
import numpy as np
import pytest
import torch

from invrim import IRIM
from invrim.data.batches import collate
from invrim.data.dataset import SliceDataset
from invrim.data.samples import Fetched
from invrim.demo import story
from invrim.demo.learning import read_curve, zero_filled_ssim
from invrim.demo.scan import LEARNED, compare, methods
from invrim.errors import DataError, InvrimError
from invrim.metrics import ssim
from invrim.models import save_model
from invrim.models.baselines import ZeroFilled
from invrim.training import Data
from scans import phantom, scan_file


@pytest.fixture
def brain(tmp_path):
    """A phantom as a NIfTI volume of 24 axial slices."""
    array = np.moveaxis(phantom(24, size=(40, 48)), 0, -1)
    path = tmp_path / "cache" / "brain.nii.gz"
    path.parent.mkdir()
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    return path


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    return str(save_model(IRIM(steps=1, hidden=[4], strides=[1], channels=4, head="eta"), tmp_path / "w.safetensors"))


@pytest.fixture
def fetched(monkeypatch, brain):
    monkeypatch.setattr(story, "ACCELERATIONS", (2, 4))  # 8-fold needs more columns than a phantom has
    monkeypatch.setattr(story, "fetch", lambda name: Fetched(path=brain, notice=f"{name}, a phantom."))


def fail(*_, **__):
    raise InvrimError("no memory. Lower the depth.")


def headings(page):
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_the_story_without_training(tmp_path, fetched, weights, monkeypatch, capsys):
    monkeypatch.setattr(story, "DEPTHS", (1, 2))
    out = tmp_path / ("long" * 20) / "[bold]"
    page = story.tell(out, minutes=0, weights=weights).read_text()
    assert f"report: {out / 'report.html'}" in capsys.readouterr().out.splitlines(), "a path that can be copied"
    assert headings(page) == ["In numbers", "In pictures", "Memory against depth", "Notes", "Where this comes from"]
    assert "From 1 to 2 blocks" in page
    assert "ds000240, a phantom." in page
    assert "never saw" not in page, "nobody knows what these weights have seen"
    assert (out / "first_picture.png").is_file()


def test_raw_scans_are_in_the_table_and_a_failed_measurement_is_a_note(tmp_path, fetched, weights, monkeypatch):
    monkeypatch.setattr(story, "memory_against_depth", fail)
    raw = scan_file(tmp_path / "mine", "knee.h5", coils=3)
    page = story.tell(tmp_path / "out", minutes=0, weights=weights, raw=(raw,)).read_text()
    groups = re.findall(r'rowgroup" colspan="\d">(.*?)</th>', page)
    assert groups == [
        f"{scan}, {n}-fold acceleration, 1 volume" for scan in ("simulated scan, one coil", "knee") for n in (2, 4)
    ]
    assert "could not be measured: no memory." in page
    assert "Memory against depth" not in headings(page)


def test_an_interruption_leaves_what_is_there(tmp_path, fetched, weights, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(story, "memory_against_depth", fail)
    monkeypatch.setattr(story, "learn", interrupt)
    with pytest.raises(KeyboardInterrupt):
        story.tell(tmp_path / "out", minutes=1, weights=weights)
    assert "In pictures" in headings((tmp_path / "out" / "report.html").read_text())


def test_raw_files_are_checked_first(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(story, "fetch", fail)
    sampled = scan_file(tmp_path, "sampled.h5", acceleration=4)
    with pytest.raises(DataError, match=r"sampled\.h5: expected a fully sampled file, got one with a mask"):
        story.tell(tmp_path / "out", weights=weights, raw=(sampled,))


@pytest.mark.parametrize("weights", ["brain", "mine.safetensors"])
def test_only_of_the_shipped_weights_it_is_said_whom_they_never_saw(monkeypatch, tmp_path, weights):
    monkeypatch.setattr(story, "shipped_weights", lambda: {"brain": tmp_path})
    assert bool(story._about_the_weights(weights)) == (weights == "brain")


def test_scans_of_the_same_name_are_told_apart(tmp_path):
    one, other, third = tmp_path / "a" / "x.h5", tmp_path / "b" / "x.h5", tmp_path / "y.h5"
    assert story._titles([one, other, third]) == {str(one): one, str(other): other, "y": third}


def test_zero_filling_is_scored_as_training_scores(tmp_path):
    scan_file(tmp_path, coils=3)
    data = Data(train=tmp_path, validation=tmp_path, accelerations=(2,), center_fractions=(0.25,))
    items = SliceDataset(tmp_path, accelerations=(2,), center_fractions=(0.25,), training=False)
    batch = collate([items[number] for number in range(3)])
    filled = (batch["maps"].conj() * torch.fft.fftshift(
        torch.fft.ifft2(torch.fft.ifftshift(batch["kspace"], dim=(-2, -1)), norm="ortho"), dim=(-2, -1)
    )).sum(dim=1).abs()  # fmt: skip
    expected = ssim(filled, batch["target"], batch["maximum"]).mean()
    assert zero_filled_ssim(data) == pytest.approx(float(expected), abs=1e-5)


def test_methods_put_the_learned_one_last(tmp_path):
    weights = save_model(IRIM(steps=1, hidden=[4], strides=[1], channels=4, head="eta"), tmp_path / "w.safetensors")
    names = list(methods(str(weights)))
    assert names[0] == "zero-filled"
    assert names[-1] == LEARNED


def test_compare_scores_and_draws_every_method(tmp_path):
    torch.manual_seed(0)
    model = IRIM(steps=1, hidden=[4], strides=[1], channels=4, head="eta").eval()
    said = []
    case, rows = compare(scan_file(tmp_path), "phantom", 2, {"zero-filled": ZeroFilled(), LEARNED: model}, said.append)
    assert [row.method for row in rows] == ["zero-filled", LEARNED]
    assert set(case.metrics) == {"zero-filled", LEARNED}
    assert case.metrics["zero-filled"]["psnr"] == rows[0].evaluation.mean["psnr"]
    assert case.target.shape == (48, 40)
    assert len(said) == 2


@pytest.mark.filterwarnings("ignore")  # Lightning's
def test_a_training_of_no_time_is_told(tmp_path, fetched, weights, monkeypatch):
    monkeypatch.setattr(story, "memory_against_depth", fail)
    page = story.tell(tmp_path / "out", minutes=1e-6, weights=weights).read_text()
    assert "Training" in headings(page) or "too short for a curve" in page
    assert (tmp_path / "out" / "training" / "weights.safetensors").is_file()


def test_a_training_without_a_curve_is_a_note(tmp_path, fetched, weights, monkeypatch):
    monkeypatch.setattr(story, "memory_against_depth", fail)
    monkeypatch.setattr(story, "learn", lambda *_: None)
    page = story.tell(tmp_path / "out", minutes=0.5, weights=weights).read_text()
    assert "0.5 minutes is too short for a curve" in page
    assert "Training" not in headings(page)


def test_a_log_without_losses_or_validation(tmp_path):
    log = tmp_path / "metrics.csv"
    assert read_curve(log) is None
    log.write_text("step,validation/ssim,validation/psnr\n0,0.8,30\n")
    assert read_curve(log) is None
    log.write_text("step,train/loss\n9,0.5\n")
    assert read_curve(log).validation is None


def test_curve_is_read_from_the_log(tmp_path):
    log = tmp_path / "metrics.csv"
    log.write_text("step,train/loss,validation/ssim,validation/psnr\n9,0.5,,\n9,,0.8,30\n19,0.4,,\n")
    curve = read_curve(log)
    assert (list(curve.steps), list(curve.loss)) == ([9, 19], [0.5, 0.4])
    assert curve.validation is not None
    assert (list(curve.validation.steps), list(curve.validation.psnr)) == ([9], [30.0])
    assert curve.validation.ssim == pytest.approx([0.8])
