"""Heads look as a scanner shows them: bright under the skin, bright near the coils, unchanged in between."""

import pytest
import torch

from invrim.data.appearance import Appearance, head_of, near_skin
from invrim.errors import OptionError

SIZE = (100, 120)


@pytest.fixture(scope="module")
def discs():
    """Radius of every pixel, and a head of radius 40 with a dark skull and a dark ventricle."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]) - 50.0, torch.arange(SIZE[1]) - 60.0, indexing="ij")
    radius = (x**2 + y**2).sqrt()
    dark = ((radius > 30) & (radius < 35)) | (radius < 6)
    return radius, torch.where((radius < 40) & ~dark, 0.8, 0.02)[None]


def test_the_head_includes_skull_and_ventricles(discs):
    radius, stack = discs
    head = head_of(stack)[0]
    assert head[radius < 38].min() == 1
    assert head[radius > 43].max() == 0


def test_the_skin_is_where_air_begins(discs):
    radius, stack = discs
    near = near_skin(head_of(stack), 0.1)[0]
    assert near[(radius > 39) & (radius < 40)].min() > 0.8
    assert near[radius < 22].max() == 0
    assert near[radius > 43].max() == 0
    cut = near_skin(torch.ones(1, *SIZE), 0.1)
    assert cut.max() == 0  # a head that fills the field of view has no skin in it


def test_fat_and_bias_brighten_what_lies_near_the_skin(discs):
    radius, stack = discs
    rim, deep, air = (radius > 39) & (radius < 40), radius < 5, radius > 43
    fat, bias = Appearance(fat=4).magnitude(stack)[0], Appearance(receive_bias=1).magnitude(stack)[0]
    assert (fat[rim] / stack[0][rim]).min() > 2
    assert (bias[rim] / stack[0][rim]).min() > 1.6
    for bright in (fat, bias):
        torch.testing.assert_close(bright[air], stack[0][air])
        torch.testing.assert_close(bright[deep], stack[0][deep])
    between = (radius > 28) & (radius < 30)
    torch.testing.assert_close(fat[between], stack[0][between])
    assert (bias[between] / stack[0][between]).min() > 1.1


def test_nothing_changes_by_default(discs):
    _, stack = discs
    torch.testing.assert_close(Appearance().magnitude(stack), stack)
    assert Appearance().phase(stack).max() == 0


@pytest.mark.parametrize("bad", [{"fat": 0}, {"receive_bias": -1}, {"fat": float("nan")}])
def test_options_out_of_range(bad):
    with pytest.raises(OptionError, match=r"expected fat > 0 and receive_bias >= 0, got .*Use 1 and 0"):
        Appearance(**bad)
