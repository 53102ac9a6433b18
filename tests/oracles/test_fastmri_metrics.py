"""Our `fastmri` protocol against the scorer that fastMRI ships."""

from argparse import Namespace

import numpy as np
import pytest
import torch

from evaluation.scored_folders import volumes, write_pair
from invrim.evaluation import evaluate_folders, evaluate_volume

fastmri = pytest.importorskip("fastmri.evaluate", reason="fastmri is not installed", exc_type=ImportError)

SAME = 1e-6
"""Relative, for float64 volumes."""
SINGLE = 1e-6
"""Absolute; their scorer computes SSIM of float32 volumes in float32."""


def theirs(target, prediction):
    from fastmri.data.transforms import center_crop

    size = (target.shape[-1], target.shape[-1])
    target, prediction = center_crop(target, size), center_crop(prediction, size)
    return {name: float(np.squeeze(getattr(fastmri, name)(target, prediction))) for name in ("nmse", "psnr", "ssim")}


@pytest.mark.parametrize(("shape", "larger"), [((3, 32, 32), (0, 0)), ((2, 41, 30), (0, 0)), ((4, 35, 35), (9, 4))])
def test_float64_volumes_score_the_same(shape, larger):
    target, prediction = (volume.astype(np.float64) for volume in volumes(7, shape, larger))
    found = evaluate_volume(torch.from_numpy(target), torch.from_numpy(prediction))
    assert found == pytest.approx(theirs(target, prediction), rel=SAME)


def test_the_comparison_rejects_a_volume_maximum_taken_before_the_crop():
    target, prediction = (volume.astype(np.float64) for volume in volumes(7, (2, 41, 30)))
    brighter = target.copy()
    brighter[0, 0, 0] = 10 * target.max()
    found = evaluate_volume(torch.from_numpy(target), torch.from_numpy(prediction))
    assert found == pytest.approx(theirs(brighter, prediction), rel=SAME)
    whole = {name: float(np.squeeze(getattr(fastmri, name)(brighter, prediction))) for name in found}
    assert found != pytest.approx(whole, rel=SAME)


def test_folders_score_the_same_from_file_to_mean(tmp_path):
    for seed, larger in enumerate([(0, 0), (2, 6), (5, 1)]):
        write_pair(tmp_path, f"file{seed}.h5", *volumes(seed, larger=larger))
    targets, predictions = tmp_path / "targets", tmp_path / "predictions"
    found = evaluate_folders(targets, predictions, "fastmri")
    arguments = Namespace(target_path=targets, predictions_path=predictions, acquisition=None, acceleration=None)
    metrics = fastmri.evaluate(arguments, "reconstruction_esc")
    for name in ("nmse", "psnr", "ssim"):
        assert found.mean[name] == pytest.approx(float(np.squeeze(metrics.means()[name.upper()])), abs=SINGLE)
        assert found.std[name] == pytest.approx(float(np.squeeze(metrics.stddevs()[name.upper()])), abs=SINGLE)
