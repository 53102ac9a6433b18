"""The protocol's door: names, shapes, NaN."""

import pytest
import torch

from invrim.errors import DataError, OptionError, ShapeError
from invrim.evaluation import PROTOCOLS, evaluate_volume, find_protocol


def volume(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_every_protocol_is_found_under_its_own_name():
    assert all(find_protocol(name).name == name for name in PROTOCOLS)


def test_a_misspelt_protocol_gets_a_suggestion():
    with pytest.raises(OptionError, match=r"'fastMRi'.*Did you mean 'fastmri'\?"):
        find_protocol("fastMRi")
    with pytest.raises(OptionError, match=r"expected one of fastmri"):
        find_protocol("xyz")


def test_a_larger_prediction_is_cropped_and_a_smaller_one_refused():
    target, prediction = volume(2, 20, 12), volume(2, 26, 16, seed=1)
    cropped = prediction[:, 3:23, 2:14]
    assert evaluate_volume(target, prediction) == evaluate_volume(target, cropped)
    with pytest.raises(ShapeError, match=r"\(26, 9\).*\(12, 12\)"):
        evaluate_volume(target, prediction[..., :9])


def test_a_target_lower_than_wide_is_compared_whole():
    target, prediction = volume(2, 9, 15), volume(2, 9, 15, seed=1)
    prediction_wrong_at_the_rim = prediction.clone()
    prediction_wrong_at_the_rim[:, 0, 0] += 1
    assert evaluate_volume(target, prediction)["nmse"] < evaluate_volume(target, prediction_wrong_at_the_rim)["nmse"]


def test_unusable_volumes_are_refused():
    target, broken = volume(2, 9, 8), volume(2, 9, 8, seed=1)
    broken[1, 2, 3] = torch.nan
    with pytest.raises(DataError, match="1 values that are NaN"):
        evaluate_volume(target, broken)
    with pytest.raises(DataError, match="target is empty"):
        evaluate_volume(torch.zeros(2, 9, 8), target)
    with pytest.raises(ShapeError, match=r"\(1, 9, 8\).*\(2, 9, 8\).*as many slices"):
        evaluate_volume(target, target[:1])


def test_scores_do_not_depend_on_units():
    target, prediction = volume(2, 9, 8).double(), volume(2, 9, 8, seed=1).double()
    assert evaluate_volume(1e-6 * target, 1e-6 * prediction) == pytest.approx(evaluate_volume(target, prediction))
