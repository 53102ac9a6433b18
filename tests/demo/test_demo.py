"""The pieces of the demo that are its own."""

import pytest
import torch

from invrim import IRIM
from invrim.demo.learning import read_curve
from invrim.demo.scan import LEARNED, compare, methods
from invrim.models import save_model
from invrim.models.baselines import ZeroFilled
from scans import scan_file


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


def test_curve_is_read_from_the_log(tmp_path):
    log = tmp_path / "metrics.csv"
    log.write_text("step,train/loss,validation/ssim,validation/psnr\n9,0.5,,\n9,,0.8,30\n19,0.4,,\n")
    curve = read_curve(log)
    assert (list(curve.steps), list(curve.loss)) == ([9, 19], [0.5, 0.4])
    assert curve.validation is not None
    assert (list(curve.validation.steps), list(curve.validation.psnr)) == ([9], [30.0])
    assert curve.validation.ssim == pytest.approx([0.8])
